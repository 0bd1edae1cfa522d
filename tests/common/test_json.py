from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from phoenix_site.common.exceptions import InvalidJsonError
from phoenix_site.common.json import decode, encode, rendered


def test_numbers_keep_every_digit() -> None:
    text = b'{"a":0.1000000000000000000001,"b":12345678901234567890123,"c":1e-30}'

    value = decode(text)

    assert value["a"] == Decimal("0.1000000000000000000001")
    assert value["b"] == 12345678901234567890123
    assert value["c"] == Decimal("1e-30")
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "body", [b"not json", b"", b"{", b'{"a":NaN}', b"\xff", b"[" * 100_000, b"1e" + b"9" * 20]
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        decode(body)


def test_times_and_ids_are_rendered_deeply() -> None:
    moment = datetime(2026, 11, 18, 9, 15, 42, tzinfo=UTC)
    identity = UUID("00000000-0000-7000-8000-000000000001")

    text = encode(rendered({"at": [moment], "id": (identity,)}))

    assert text == b'{"at":["2026-11-18T09:15:42Z"],"id":["00000000-0000-7000-8000-000000000001"]}'
