from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tenants.rules.deliveries import (
    KINDS,
    DeliveryKind,
    Verdict,
    address_of,
    kind_of,
    next_pause,
    retry_after_of,
    verdict_of,
)

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SCHEDULE = [0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (None, "retry"),
        (200, "delivered"),
        (299, "delivered"),
        (300, "retry"),
        (307, "retry"),
        (399, "retry"),
        (400, "failed"),
        (408, "retry"),
        (409, "failed"),
        (425, "failed"),
        (429, "retry"),
        (499, "failed"),
        (500, "retry"),
        (599, "retry"),
    ],
)
def test_answers_are_judged_by_their_status(status: int | None, verdict: Verdict) -> None:
    assert verdict_of(kind_of("anything"), status) == verdict


def test_a_kind_may_judge_otherwise() -> None:
    patient = DeliveryKind(also_delivered=frozenset({404}), retried=frozenset({425}))

    assert verdict_of(KINDS["bonus_credit"], 409) == "delivered"
    assert [verdict_of(patient, status) for status in (404, 408, 425)] == [
        "delivered",
        "failed",
        "retry",
    ]


def test_pauses_follow_the_schedule_with_a_tenth_of_spread() -> None:
    rng = Random(7)  # noqa: S311

    for step, seconds in enumerate(SCHEDULE):
        pauses = [
            pause.total_seconds()
            for _ in range(200)
            if (pause := next_pause(SCHEDULE, step, retry_after=None, rng=rng)) is not None
        ]
        assert len(pauses) == 200
        assert seconds * 0.9 <= min(pauses) <= max(pauses) <= seconds * 1.1
        assert seconds == 0 or max(pauses) > min(pauses)
    assert next_pause(SCHEDULE, 8, retry_after=None, rng=rng) is None
    assert next_pause(SCHEDULE, 8, retry_after=timedelta(1), rng=rng) is None


def test_what_the_other_side_asks_for_is_the_least_up_to_an_hour() -> None:
    rng = Random(7)  # noqa: S311

    def seconds(step: int, asked: timedelta) -> float:
        pause = next_pause(SCHEDULE, step, retry_after=asked, rng=rng)
        assert pause is not None
        return pause.total_seconds()

    assert seconds(1, timedelta(seconds=60)) == 60
    assert seconds(1, timedelta(days=9)) == 3600
    assert seconds(2, timedelta(seconds=1)) >= 270
    assert seconds(7, timedelta(days=9)) >= 32_400


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("120", timedelta(seconds=120)),
        (" 0 ", timedelta(0)),
        ("9" * 400, timedelta(hours=1)),
        ("Fri, 20 Nov 2026 10:00:30 GMT", timedelta(seconds=30)),
        ("Fri, 20 Nov 2026 09:00:00 GMT", timedelta(0)),
        ("Fri, 20 Nov 2026 10:00:30 -0000", timedelta(seconds=30)),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Fri, 99 Nov 2026 10:00:30 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str, asked: timedelta | None) -> None:
    for status in (429, 503):
        assert retry_after_of(status, {"retry-after": text}, now=NOW) == asked
    assert retry_after_of(500, {"retry-after": "120"}, now=NOW) is None
    assert retry_after_of(429, {}, now=NOW) is None


def test_a_path_is_joined_to_the_operators_address() -> None:
    assert address_of("/a/b", "https://op.example/") == "https://op.example/a/b"
    assert address_of("/a/b", "https://op.example/v1") == "https://op.example/v1/a/b"
    assert address_of("https://hook.example/x", "https://op.example") == "https://hook.example/x"
    assert address_of("/a/b", "") is None
