from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.exceptions import InvalidInputError
from players.models import Player
from players.rules.identity import is_external_id
from players.rules.profiles import FIELDS, check_profile, merged_attributes


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("username", "  ana ", "ana"),
        ("first_name", None, ""),
        ("email", "ana@example.com", "ana@example.com"),
        ("phone", "+46701234567", "+46701234567"),
        ("country", "SE", "SE"),
        ("language", "pt-BR", "pt-BR"),
        ("timezone", "Europe/Malta", "Europe/Malta"),
        ("timezone", None, ""),
        ("birth_date", "1990-02-28", date(1990, 2, 28)),
        ("birth_date", date(1990, 2, 28), date(1990, 2, 28)),
        ("birth_date", None, None),
        ("currency", "USDT", "USDT"),
        ("status", "self_excluded", "self_excluded"),
        ("kyc_status", None, "none"),
        ("registered_at", "2026-01-01T01:00:00+01:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("attributes", {"a": Decimal("1.5"), "b": [1, "x"]}, {"a": 1.5, "b": [1, "x"]}),
    ],
)
def test_a_field_is_brought_into_one_form(name: str, value: Any, stored: Any) -> None:
    assert check_profile({name: value}) == {name: stored}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("username", "x" * 81),
        ("username", "a\0b"),
        ("username", 5),
        ("email", "ana"),
        ("email", "a b@example.com"),
        ("phone", "0701234567"),
        ("country", "UK"),
        ("country", "se"),
        ("language", "swedish language"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../etc/passwd"),
        ("birth_date", "1990-02-30"),
        ("birth_date", "19900228"),
        ("gender", "x"),
        ("currency", "eur"),
        ("status", None),
        ("status", "vip"),
        ("registered_at", "2026-01-01T00:00:00"),
        ("registered_at", datetime(2026, 1, 1)),  # noqa: DTZ001 - what is refused
        ("attributes", None),
        ("attributes", ["a"]),
        ("attributes", {"a b": 1}),
        ("attributes", {"a": {"b": 1}}),
        ("attributes", {"a": "x" * 1001}),
        ("attributes", {"a": [1] * 101}),
        ("attributes", {"a": Decimal("0.12345678901234567890")}),
        ("attributes", {"a": float("nan")}),
        ("external_id", "ben"),
        ("counters", {}),
        ("version", 7),
    ],
)
def test_a_fault_names_its_field(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        check_profile({name: value})

    assert [detail.field for detail in refused.value.details] == [name]


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidInputError) as refused:
        check_profile({"country": "XX", "city": "Malmö", "phone": "1"})

    assert [detail.field for detail in refused.value.details] == ["country", "phone"]


def test_every_field_is_a_column() -> None:
    assert FIELDS.keys() <= {field.name for field in Player._meta.get_fields()}


def test_attributes_are_merged_one_by_one() -> None:
    assert merged_attributes({"a": 1, "b": 2}, {"b": None, "c": 3}) == {"a": 1, "c": 3}
    with pytest.raises(InvalidInputError):
        merged_attributes({f"a{number}": 1 for number in range(100)}, {"one": 1})


@given(st.text(min_size=1, max_size=130))
def test_an_external_id_has_no_slash_control_or_space_at_its_ends(text: str) -> None:
    has_bad = any(
        c == "/" or ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text
    )

    assert is_external_id(text) is (len(text) <= 128 and text == text.strip() and not has_bad)
