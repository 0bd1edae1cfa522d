import json
from typing import Any
from urllib.parse import urlencode

import pytest

from leaderboards.consumers import messages
from leaderboards.consumers.messages import Allowance, MessageError, Strikes, ViewChange
from leaderboards.rules.live import DEFAULT_VIEW, ResumePoint, ViewFilter, ViewSpec
from phoenix_site.common.exceptions import InvalidInputError


def read(**fields: Any) -> messages.ClientMessage:
    return messages.read_message(json.dumps(fields), user_id="ana")


def fault_of(**fields: Any) -> MessageError:
    with pytest.raises(MessageError) as fault:
        read(**fields)
    return fault.value


def test_configure_carries_every_part() -> None:
    message = read(
        type="configure",
        page=3,
        page_size=50,
        filter={"type": "top_n", "n": 500},
        window_key="2026-W47",
        id="7",
    )

    assert message.answer_id == "7"
    assert message.change == ViewChange(3, 50, ViewFilter("top_n", n=500), "2026-W47")


def test_filters_are_read_whole() -> None:
    around = read(type="configure", filter={"type": "around_user", "range": 5}).change.filter
    other = read(type="configure", filter={"type": "around_user", "range": 5, "user_id": "b"})
    users = read(type="configure", filter={"type": "users", "user_ids": ["c", "b", "c"]})

    assert around == ViewFilter("around_user", user_id="ana", range=5)
    assert other.change.filter == ViewFilter("around_user", user_id="b", range=5)
    assert users.change.filter == ViewFilter("users", user_ids=("b", "c"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"page": 0}, "page must be at least 1"),
        ({"page": 1.5}, "page must be a whole number"),
        ({"page": "1"}, "page must be a whole number"),
        ({"page": None}, "page must be a whole number"),
        ({"page": 10**30}, "page must be at most"),
        ({"page_size": 1001}, "page_size must be at most 1000"),
        ({"filter": None}, "filter must be an object"),
        ({"filter": {"type": "best"}}, "filter.type must be"),
        ({"filter": {"type": "top_n"}}, "filter.n must be"),
        ({"filter": {"type": "top_n", "n": 1001}}, "filter.n must be at most 1000"),
        ({"filter": {"type": "around_user", "range": 101}}, "filter.range must be at most 100"),
        ({"filter": {"type": "around_user", "range": 1, "user_id": ""}}, "a player's id"),
        ({"filter": {"type": "users", "user_ids": []}}, "a list of 1 to 100 ids"),
        ({"filter": {"type": "users", "user_ids": ["a"] * 101}}, "a list of 1 to 100 ids"),
        ({"filter": {"type": "users", "user_ids": ["a", 5]}}, "a player's id"),
        ({"filter": {"type": "users", "user_ids": ["a\u0000b"]}}, "a player's id"),
        ({"window_key": "yesterday"}, "window_key must be"),
        ({"window_key": 5}, "window_key must be"),
    ],
)
def test_bad_parts_are_named(fields: dict[str, Any], words: str) -> None:
    fault = fault_of(type="configure", id="9", **fields)

    assert (fault.code, fault.answer_id) == ("INVALID_MESSAGE", "9")
    assert words in fault.message


def test_what_is_no_message() -> None:
    for text, code in [
        ("{", "INVALID_JSON"),
        ('{"type":"ping","x":"\\ud800"}', "INVALID_JSON"),
        ("5", "INVALID_MESSAGE"),
        ("{}", "INVALID_MESSAGE"),
        ('{"type":5}', "INVALID_MESSAGE"),
        ('{"type":"shout"}', "UNKNOWN_TYPE"),
        ('{"type":"request_page"}', "INVALID_MESSAGE"),
        ('{"type":"authenticate"}', "INVALID_MESSAGE"),
        ('{"type":"ping","id":5}', "INVALID_MESSAGE"),
        (json.dumps({"type": "ping", "id": "x" * 65}), "INVALID_MESSAGE"),
    ]:
        with pytest.raises(MessageError) as fault:
            messages.read_message(text, user_id="ana")
        assert fault.value.code == code, text


def test_a_change_leaves_the_rest_and_begins_anew_where_it_must() -> None:
    there = ViewSpec(ViewFilter("top_n", n=50), page=4, page_size=10)

    assert ViewChange(page=2).applied_to(there) == ViewSpec(there.filter, 2, 10)
    assert ViewChange(page_size=20).applied_to(there) == ViewSpec(there.filter, 1, 20)
    assert ViewChange(filter=ViewFilter()).applied_to(there) == ViewSpec(ViewFilter(), 1, 10)
    assert ViewChange(window_key="current").applied_to(there) == ViewSpec(there.filter, 1, 10)
    assert ViewChange(page=3, page_size=5).applied_to(there) == ViewSpec(there.filter, 3, 5)
    assert ViewChange().applied_to(there) == there


def test_a_filter_of_one_page_has_no_second() -> None:
    change = ViewChange(page=2, filter=ViewFilter("users", user_ids=("a",)))

    with pytest.raises(InvalidInputError, match="page must be 1"):
        change.applied_to(DEFAULT_VIEW)


def test_query_string_says_the_same() -> None:
    query = {
        "page": "2",
        "page_size": "20",
        "filter": '{"type":"top_n","n":100}',
        "window_key": "current",
        "epoch": "k3f9",
        "since": "41",
        "ticket": "wst_x",
    }
    opening = messages.read_opening(urlencode(query).encode(), user_id="ana")

    assert opening.change == ViewChange(2, 20, ViewFilter("top_n", n=100), "current")
    assert opening.since == ResumePoint("k3f9", 41)
    assert messages.read_ticket(urlencode(query).encode()) == "wst_x"
    assert messages.read_opening(b"", user_id="ana") == messages.Opening(ViewChange(), None)
    assert messages.read_ticket(b"page=1") is None


@pytest.mark.parametrize(
    "query",
    [
        "page=two",
        "page=-1",
        "page=",
        "filter=none",
        "filter={",
        "page_size=0",
        "epoch=k&since=x",
        "\udcff",
        "&".join(f"a{n}=1" for n in range(60)),
    ],
)
def test_bad_query_strings(query: str) -> None:
    with pytest.raises(InvalidInputError):
        messages.read_opening(query.encode("utf-8", "surrogateescape"), user_id="ana")


def test_twenty_messages_at_once_then_ten_a_second() -> None:
    allowance = Allowance(100.0)

    assert sum(allowance.take(100.0) for _ in range(30)) == 20
    assert sum(allowance.take(100.5) for _ in range(30)) == 5
    assert sum(allowance.take(1000.0) for _ in range(30)) == 20


def test_strikes_count_within_a_minute() -> None:
    strikes = Strikes(3)

    assert [strikes.add(at) for at in (0.0, 30.0, 70.0, 80.0, 89.0)] == [
        False,
        False,
        False,
        True,
        True,
    ]
