from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.constants import INTERNAL_EVENT_TYPES
from ingestion.rules.payloads import read_json
from ingestion.rules.validation import check_event
from ingestion.types import CheckedEvent, EventRules
from phoenix_site.common.exceptions import InvalidJsonError

NOW = datetime(2026, 11, 18, 9, 15, 42, tzinfo=UTC)


def rules(*, accepts_older_shape: bool = True, max_event_bytes: int | None = None) -> EventRules:
    earliest, latest = NOW - timedelta(days=400), NOW + timedelta(seconds=300)
    return EventRules("tenant-a", accepts_older_shape, 300, 400, max_event_bytes, earliest, latest)


RULES = rules()


def event(**changes: Any) -> dict[str, Any]:
    full = {
        "event_id": "evt_1",
        "type": "game.completed",
        "actor": {"user_id": "user-123", "metadata": {"region": "na-east"}},
        "occurred_at": "2026-11-18T09:15:42Z",
        "attrs": {"score_delta": 50},
    }
    return {name: value for name, value in (full | changes).items() if value is not ...}


def check(payload: Any, against: EventRules = RULES) -> CheckedEvent:
    return check_event(payload, against)


def faults(payload: Any, against: EventRules = RULES) -> list[tuple[str, str | None]]:
    return [(fault.field, fault.reason) for fault in check(payload, against).faults]


def test_a_valid_event_is_normalized() -> None:
    checked = check(event(occurred_at="2026-11-18T10:15:42.1234567+01:00"))

    assert checked.faults == ()
    assert checked.warnings == ()
    assert checked.event is not None
    assert checked.event.occurred_at == NOW.replace(microsecond=123456)
    assert checked.event.metadata == '{"region":"na-east"}'
    assert checked.event.attrs == '{"score_delta":50}'


def test_one_answer_names_every_missing_field() -> None:
    assert faults({}) == [
        (name, "missing") for name in ("event_id", "type", "actor", "occurred_at", "attrs")
    ]


def test_known_fields_of_the_wrong_type_are_named() -> None:
    payload = event(event_id=5, type=None, actor={"user_id": 1, "metadata": []}, attrs="x")

    assert set(faults(payload | {"occurred_at": True})) == {
        ("event_id", "wrong_type"),
        ("type", "wrong_type"),
        ("actor.user_id", "wrong_type"),
        ("actor.metadata", "wrong_type"),
        ("occurred_at", "wrong_type"),
        ("attrs", "wrong_type"),
    }


@pytest.mark.parametrize("payload", [[], [{}], "text", 5, None, True])
def test_anything_but_an_object_is_refused(payload: Any) -> None:
    assert faults(payload) == [("", "wrong_type")]


@pytest.mark.parametrize("event_id", ["", " e", "e 1", "é", "x" * 129, "a\x7f", "a\n"])
def test_an_event_id_has_visible_ascii_only(event_id: str) -> None:
    assert faults(event(event_id=event_id)) == [("event_id", "bad_value")]


@pytest.mark.parametrize("event_id", ["!", "x" * 128, "~", "a/b?c"])
def test_an_event_id_may_be_any_visible_ascii(event_id: str) -> None:
    assert faults(event(event_id=event_id)) == []


@pytest.mark.parametrize("name", ["", ".a", "a.", "a..b", "-a", "a b", "a.b\n", "x" * 101, "é"])
def test_a_type_has_parts_joined_by_points(name: str) -> None:
    assert faults(event(type=name)) == [("type", "bad_value")]


@pytest.mark.parametrize("name", ["a", "A_1", "_", "a.-b", "a.b.c", "x" * 100, "1.2"])
def test_a_type_may_have_digits_dashes_and_underscores(name: str) -> None:
    assert faults(event(type=name)) == []


@pytest.mark.parametrize("name", sorted(INTERNAL_EVENT_TYPES))
def test_nobody_sends_what_phoenix_itself_emits(name: str) -> None:
    assert faults(event(type=name)) == [("type", "reserved_type")]


@pytest.mark.parametrize("name", ["player.registered", "deposit.completed", "bonus.granted"])
def test_types_of_the_reactive_api_are_open_to_everybody(name: str) -> None:
    assert faults(event(type=name)) == []


@pytest.mark.parametrize(
    "user_id", ["", " a", "a ", "\u00a0a", "a/b", "a\x00", "a\x85b", "a\ud800", "x" * 129, "a\n"]
)
def test_an_external_id_without_slash_control_or_outer_space(user_id: str) -> None:
    assert faults(event(actor={"user_id": user_id})) == [("actor.user_id", "bad_value")]


@pytest.mark.parametrize("user_id", ["Zoë", "a b", "😀" * 128, "123", "a\\b"])
def test_an_external_id_may_be_any_other_text(user_id: str) -> None:
    assert faults(event(actor={"user_id": user_id})) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-18T09:00:00", "naive_time"),
        ("2026-11-18T10:00:00Z", "in_future"),
        ("2025-07-06T09:15:42Z", "too_old"),
        ("1999-12-31T23:59:59Z", "bad_value"),
        ("2026-11-18", "bad_value"),
        ("2026-11-18T09:00:60Z", "bad_value"),
        ("2026-02-30T09:00:00Z", "bad_value"),
        ("yesterday", "bad_value"),
        ("", "bad_value"),
    ],
)
def test_a_time_is_refused_with_its_reason(text: str, reason: str) -> None:
    assert faults(event(occurred_at=text)) == [("occurred_at", reason)]


@pytest.mark.parametrize("text", ["2026-11-18T09:20:42Z", "2025-10-14T09:15:42Z"])
def test_both_ends_of_the_allowed_time_are_allowed(text: str) -> None:
    assert faults(event(occurred_at=text)) == []


def nested(levels: int) -> dict[str, Any]:
    """Return an object of so many levels."""
    document: dict[str, Any] = {}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


def test_nesting_ends_at_16_levels() -> None:
    assert faults(event(attrs=nested(16))) == []
    assert faults(event(attrs=nested(17))) == [("attrs" + ".a" * 16, "bad_value")]


def test_lists_are_levels_too() -> None:
    assert faults(event(attrs={"a": [[nested(13)]]})) == []
    assert faults(event(attrs={"a": [[nested(14)]]})) != []


def test_members_and_elements_of_both_documents_count_together() -> None:
    elements = list(range(9_998))

    assert faults(event(attrs={"a": elements})) == []
    assert faults(event(attrs={"a": [*elements, 1]})) == [("attrs", "bad_value")]


@pytest.mark.parametrize("key", ["", "x" * 129, "a\x00", "\udfff"])
def test_a_key_has_1_to_128_storable_characters(key: str) -> None:
    assert faults(event(attrs={key: 1})) == [("attrs", "bad_value")]


@pytest.mark.parametrize(
    "text",
    [
        "9" * 38,
        "-" + "9" * 38,
        "0." + "1" * 38,
        "1e30",
        "1e-30",
        "1.5e-30",
        "0",
        "-0.0",
        "true",
        "null",
    ],
)
def test_numbers_within_the_bounds_are_taken(text: str) -> None:
    assert faults(event(attrs=read_json(f'{{"n": {text}}}'.encode()).value)) == []


@pytest.mark.parametrize(
    "text",
    [
        "9" * 39,
        "-" + "9" * 39,
        "9" * 5000,
        "1." + "1" * 38,
        "1e31",
        "1e-31",
        "1e400",
        "1e99999999999999999999",
    ],
)
def test_numbers_beyond_the_bounds_are_named(text: str) -> None:
    payload = event(attrs=read_json(f'{{"a": {{"n": [{text}]}}}}'.encode()).value)

    assert faults(payload) == [("attrs.a.n.0", "bad_value")]


@pytest.mark.parametrize("text", ["\\u0000", "a\\ud800b", "\\udc00\\ud800"])
def test_what_the_database_cannot_store_is_refused_in_its_place(text: str) -> None:
    payload = read_json(f'{{"a": "{text}", "b": ["{text}"]}}'.encode())

    assert payload.has_escapes
    assert faults(event(attrs=payload.value)) == [
        ("attrs.a", "bad_value"),
        ("attrs.b.0", "bad_value"),
    ]


def test_an_emoji_written_with_escapes_is_fine() -> None:
    payload = read_json(b'{"a": "\\ud83d\\ude00"}')

    assert check(event(attrs=payload.value)).event.attrs == '{"a":"😀"}'  # type: ignore[union-attr]


def test_of_a_repeated_key_the_last_value_counts() -> None:
    payload = read_json(b'{"a": 1, "a": 2}')

    assert check(event(attrs=payload.value)).event.attrs == '{"a":2}'  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"{", b"NaN", b'{"a": Infinity}', b"\xff", b'{"a": 1} x', b"[" * 90_000],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        read_json(body)


def test_a_tenants_limit_of_an_event_is_counted_without_white_space() -> None:
    small = rules(max_event_bytes=256)

    assert faults(event(attrs={"a": "x" * 60}), small) == []
    assert faults(event(attrs={"a": "x" * 300}), small) == [("", "event_too_large")]


def test_a_foreign_tenant_id_is_a_warning() -> None:
    assert check(event(tenant_id="other")).warnings == ("tenant_id_replaced",)
    assert check(event(tenant_id=5)).warnings == ("tenant_id_replaced",)
    assert check(event(tenant_id="tenant-a")).warnings == ()
    assert check(event(tenant_id="placeholder")).warnings == ()


FLAT = {
    "event_id": "evt_1",
    "event_type": "game.completed",
    "tenant_id": "tenant-a",
    "user_id": "user-123",
    "timestamp": "2026-11-18T09:15:42Z",
    "attributes": {"score_delta": 50},
}


def test_the_flat_shape_is_read_and_has_the_same_content() -> None:
    flat = check(FLAT)
    current = check(event(actor={"user_id": "user-123"}))

    assert flat.warnings == ("older_shape",)
    assert flat.event == current.event


def test_a_flat_timestamp_may_be_unix_seconds() -> None:
    checked = check(FLAT | {"timestamp": int(NOW.timestamp())})

    assert checked.event is not None
    assert checked.event.occurred_at == NOW


@pytest.mark.parametrize("timestamp", [True, 1.5, -1, 10**18, None])
def test_other_flat_timestamps_are_refused_under_their_own_name(timestamp: Any) -> None:
    assert faults(FLAT | {"timestamp": timestamp}) == [("timestamp", "wrong_type")]


def test_flat_attributes_may_be_absent() -> None:
    checked = check({name: value for name, value in FLAT.items() if name != "attributes"})

    assert checked.event is not None
    assert checked.event.attrs == "{}"


def test_the_newer_name_wins_field_by_field() -> None:
    checked = check(FLAT | {"type": "match.completed", "attrs": {"score": 1}})

    assert checked.event is not None
    assert checked.event.type == "match.completed"
    assert checked.event.attrs == '{"score":1}'
    assert checked.event.user_id == "user-123"
    assert checked.warnings == ("older_shape",)


def test_older_names_beside_all_newer_ones_are_unknown_fields() -> None:
    assert check(event(**{k: v for k, v in FLAT.items() if k != "event_id"})).warnings == ()


def test_faults_of_the_flat_shape_have_its_names() -> None:
    payload = FLAT | {"user_id": "a/b", "event_type": "..", "attributes": {"a": {"": 1}}}

    assert faults(payload) == [
        ("event_type", "bad_value"),
        ("user_id", "bad_value"),
        ("attributes.a", "bad_value"),
    ]


def test_a_tenant_can_switch_the_flat_shape_off() -> None:
    assert faults(FLAT, rules(accepts_older_shape=False)) == [
        (name, "missing") for name in ("type", "actor", "occurred_at", "attrs")
    ]


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    )
)
def test_no_payload_breaks_the_checks(payload: Any) -> None:
    checked = check(payload)

    assert (checked.event is None) == bool(checked.faults)
    assert check(event(attrs={"a": payload})).event_id == "evt_1"
