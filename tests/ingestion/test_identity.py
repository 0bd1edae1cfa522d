from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingestion.rules.identity import canonical_json, content_hash, decide_verdicts
from ingestion.rules.payloads import read_json
from tests.ingestion.factories import log_row

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
numbers = st.one_of(
    st.integers(-(10**37), 10**37),
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20
    ),
)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=5), numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def shuffled(value: Any) -> Any:
    """Return an equal document with its keys in the other order and its numbers spelled anew."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    return Decimal(value).scaleb(-3).scaleb(3) * Decimal("1.000")


@given(documents)
def test_equal_documents_have_one_canonical_text(document: Any) -> None:
    # A plain product would round to the default precision of 28 digits.
    from decimal import localcontext

    with localcontext() as context:
        context.prec = 60
        other = shuffled(document)

    assert canonical_json(document) == canonical_json(other)


@given(documents, documents)
def test_different_documents_have_different_texts(one: Any, other: Any) -> None:
    same_text = canonical_json(one) == canonical_json(other)

    assert same_text == _equal(one, other)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def test_a_number_counts_by_its_value_however_it_is_written() -> None:
    texts = {
        canonical_json(read_json(b'{"n": ' + number + b"}").value)
        for number in (b"1", b"1.0", b"1e0", b"10e-1", b"0.1E1")
    }

    assert texts == {'{"n":1}'}


def test_a_number_and_its_text_are_different() -> None:
    assert canonical_json({"n": "1"}) != canonical_json({"n": 1})


def test_zero_has_no_sign() -> None:
    assert canonical_json({"n": Decimal("-0.0")}) == canonical_json({"n": 0})


def test_38_digits_are_kept() -> None:
    digits = Decimal("1234567890123456789.0123456789012345678")

    assert canonical_json({"n": digits}) == '{"n":1234567890123456789.0123456789012345678}'


def test_the_hash_knows_instants_not_offsets() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=1)))

    assert content_hash("a", "ana", NOON, metadata="{}", attrs="{}") == content_hash(
        "a", "ana", there, metadata="{}", attrs="{}"
    )


def test_every_part_of_the_content_changes_the_hash() -> None:
    hashes = {
        content_hash("a", "ana", NOON, metadata="{}", attrs="{}"),
        content_hash("b", "ana", NOON, metadata="{}", attrs="{}"),
        content_hash("a", "ben", NOON, metadata="{}", attrs="{}"),
        content_hash("a", "ana", NOON + timedelta(microseconds=1), metadata="{}", attrs="{}"),
        content_hash("a", "ana", NOON, metadata='{"a":1}', attrs="{}"),
        content_hash("a", "ana", NOON, metadata="{}", attrs='{"a":1}'),
    }

    assert len(hashes) == 6


def test_of_one_id_twice_in_a_batch_the_first_counts() -> None:
    first, same, other = (
        log_row("e1", occurred_at=NOON),
        log_row("e1", occurred_at=NOON),
        log_row("e1", occurred_at=NOON, attrs={"score": 2}),
    )

    verdicts = decide_verdicts([first, same, other], inserted={first.key}, stored={})

    assert verdicts == ["accepted", "duplicate", "conflict"]


def test_an_id_that_is_stored_is_compared_with_what_is_stored() -> None:
    stored = log_row("e1", occurred_at=NOON)
    changed = log_row("e1", occurred_at=NOON, attrs={"score": 2})

    verdicts = decide_verdicts(
        [changed, stored], inserted=set(), stored={stored.key: stored.content_hash}
    )

    assert verdicts == ["conflict", "duplicate"]
