"""How a run is counted from its windows: late events, freezes, pauses, repairs, milestones."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from phoenix_site.common.zones import load_zone
from rewards.rules.streak_windows import Pause, WindowPlan, counted_zones
from rewards.rules.streaks import Changes, FreezePurse, PastReaches, StreakRun, WindowRow, reached
from rewards.types.streaks import PLAYER_ZONE, FreezePolicy, WindowRule

STREAK = UUID(int=7)
NEW_YORK = "America/New_York"
START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ONE = Decimal(1)


def local(text: str, zone: str = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=load_zone(zone)).astimezone(UTC)


def day(number: int, hour: float = 12) -> datetime:
    return START + number * DAY + hour * HOUR


def new_run(
    rule: WindowRule | None = None,
    *,
    freezes: int = 0,
    per_break: int = 1,
    pauses: list[Pause] | None = None,
) -> StreakRun:
    plan = WindowPlan([(START, rule or WindowRule("daily"))], pauses=pauses or [])
    purse = FreezePurse({STREAK: freezes})
    return StreakRun(STREAK, plan, [], freeze=FreezePolicy(2, per_break), purse=purse)


def happen(
    run: StreakRun, instant: datetime, *, received_at: datetime | None = None, target: Decimal = ONE
) -> Changes:
    """Let an event reach the run as the service does: close, find, add, count."""
    until = min(instant, received_at or instant)
    first = run.settle(until)
    row = run.find(instant)
    row.add(ONE, target=target, at=instant)
    run.attach(row)
    second = run.settle(until)
    return Changes(
        first.broken + second.broken, first.frozen + second.frozen, first.risen + second.risen
    )


def play(run: StreakRun, *days: float) -> None:
    for number in days:
        happen(run, day(int(number)))


def counts(run: StreakRun) -> list[int]:
    return [row.count for row in run.rows]


# --- Consecutive windows -------------------------------------------------------------------------


def test_acceptance_25_the_spring_day_of_23_hours_is_one_window() -> None:
    run = new_run(WindowRule("daily", NEW_YORK))

    for moment in ("2026-03-07T23:30", "2026-03-08T12:00", "2026-03-09T00:30"):
        happen(run, local(moment))

    assert run.count == 3


def test_acceptance_25_the_autumn_day_of_25_hours_counts_once() -> None:
    run = new_run(WindowRule("daily", NEW_YORK))

    for moment in ("2026-10-31T12:00", "2026-11-01T00:30", "2026-11-01T23:30", "2026-11-02T00:30"):
        happen(run, local(moment))

    assert run.count == 3


def test_a_window_counts_once_its_target_is_reached() -> None:
    run = new_run()

    seen = []
    for hour in (1, 2, 3, 4):
        happen(run, day(0, hour), target=Decimal(3))
        seen.append((run.count, int(run.rows[0].progress)))

    assert seen == [(0, 1), (0, 2), (1, 3), (1, 4)]


def test_a_value_counts_once_in_a_distinct_window() -> None:
    row = WindowRow.of(new_run().plan.opening(START))
    first, second = b"a" * 16, b"b" * 16

    for value in (first, first, second):
        row.add(value, target=Decimal(2), at=START)

    assert row.progress == 2
    assert row.is_satisfied


def test_acceptance_26_a_missed_window_makes_the_count_0() -> None:
    run = new_run()
    play(run, 0, 1, 2)

    changes = run.settle(day(4, 0))

    assert run.count == 0
    assert [(each.window.key, each.count) for each in changes.broken] == [("2026-03-04", 3)]


def test_the_present_window_need_not_be_satisfied_yet() -> None:
    run = new_run()
    play(run, 0, 1)

    run.settle(day(2, 23.9))

    assert run.count == 2


def test_a_run_breaks_once() -> None:
    run = new_run()
    play(run, 0, 1)

    breaks = [each for moment in range(3, 30) for each in run.settle(day(moment)).broken]

    assert len(breaks) == 1
    assert len(run.rows) == 3


def test_rolling_windows_are_counted_on_the_grid_of_the_run() -> None:
    run = new_run(WindowRule(hours=24))
    happen(run, day(0, 10))
    # Not yet a day later: the same window.
    happen(run, day(1, 9))
    assert run.count == 1

    happen(run, day(1, 11))
    happen(run, day(3, 9.9))

    assert run.count == 3
    run.settle(day(4, 10))
    assert run.count == 0


def test_a_broken_rolling_run_begins_anew_with_the_next_event() -> None:
    run = new_run(WindowRule(hours=24))
    happen(run, day(0, 10))

    happen(run, day(5, 3))

    assert run.count == 1
    assert run.rows[-1].starts_at == day(5, 3)


# --- Late events ---------------------------------------------------------------------------------


def test_acceptance_26_a_late_event_heals_the_run() -> None:
    run = new_run()
    play(run, 0, 1, 3, 4)
    assert run.count == 2

    happen(run, day(2), received_at=day(4))

    assert run.count == 5
    assert counts(run) == [1, 2, 3, 4, 5]


def test_a_late_event_that_leaves_another_gap_heals_only_its_part() -> None:
    run = new_run()
    play(run, 0, 1, 4, 5)

    happen(run, day(2), received_at=day(5))

    assert run.count == 2
    assert [(row.key[-2:], row.count) for row in run.rows] == [
        ("01", 1),
        ("02", 2),
        ("03", 3),
        ("04", 0),
        ("05", 1),
        ("06", 2),
    ]


def test_a_late_event_before_a_rolling_run_lies_on_its_grid() -> None:
    run = new_run(WindowRule(hours=24))
    happen(run, day(3, 10))

    happen(run, day(2, 15), received_at=day(3, 11))

    assert counts(run) == [1, 2]
    assert run.rows[0].starts_at == day(2, 10)


def test_events_of_a_sender_whose_clock_is_fast_close_nothing_early() -> None:
    run = new_run()
    play(run, 0)

    # It is still the evening of day 1 when an event of day 2 comes in.
    happen(run, day(2, 0.01), received_at=day(1, 23.9))
    happen(run, day(1, 23.95))

    assert counts(run) == [1, 2, 3]


@given(
    st.lists(st.integers(0, 24 * 14), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_events_come_does_not_matter(hours: list[int], random: object) -> None:
    """The oracle: consecutive local dates with an event, up to the last settled day."""
    moments = [START + hour * HOUR for hour in hours]
    shuffled = list(moments)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    end = START + 15 * DAY
    run = new_run(WindowRule("daily", NEW_YORK))

    for moment in shuffled:
        happen(run, moment)
    run.settle(end)

    zone = load_zone(NEW_YORK)
    played = {moment.astimezone(zone).date() for moment in moments}
    assert run.is_well_formed()
    assert run.count == _days_up_to(end.astimezone(zone).date(), played)
    best = max(_days_up_to(one + DAY, played) for one in played)
    assert max(counts(run)) == best


def _days_up_to(today: date, played: set[date]) -> int:
    count = int(today in played)
    back = today - DAY
    while back in played:
        count, back = count + 1, back - DAY
    return count


@given(st.lists(st.integers(0, 24 * 9), min_size=1, max_size=25), st.integers(0, 3))
def test_a_run_over_the_newest_rows_is_that_over_all_of_them(hours: list[int], tail: int) -> None:
    moments = sorted(START + hour * HOUR for hour in hours)
    whole = new_run(freezes=2)
    for moment in moments:
        happen(whole, moment)
    kept = [replace(row) for row in whole.rows[-(tail + 3) :]]
    part = replace(
        whole,
        rows=kept,
        has_earlier=len(kept) < len(whole.rows),
        purse=FreezePurse(dict(whole.purse.held)),
    )

    for run in (whole, part):
        happen(run, moments[-1] + 20 * HOUR)
        run.settle(moments[-1] + 30 * HOUR)

    assert part.count == whole.count
    assert counts(part) == counts(whole)[-len(part.rows) :]


# --- Freezes -------------------------------------------------------------------------------------


def test_acceptance_26_a_freeze_keeps_the_run_and_does_not_raise_it() -> None:
    run = new_run(freezes=1)
    play(run, 0, 1)

    changes = run.settle(day(3, 1))

    assert (run.count, run.purse.count(STREAK)) == (2, 0)
    assert [span.key for span in changes.frozen] == ["2026-03-03"]
    happen(run, day(3))
    assert run.count == 3


def test_acceptance_26_a_late_event_for_a_frozen_window_raises_the_count() -> None:
    run = new_run(freezes=1)
    play(run, 0, 1, 3)
    assert counts(run) == [1, 2, 2, 3]

    happen(run, day(2), received_at=day(3))

    assert counts(run) == [1, 2, 3, 4]


def test_freezes_are_used_at_most_per_break_in_a_row() -> None:
    run = new_run(freezes=5, per_break=2)
    play(run, 0)

    changes = run.settle(day(6))

    assert len(changes.frozen) == 2
    assert run.count == 0
    assert run.purse.count(STREAK) == 3


def test_the_freezes_of_a_break_are_counted_anew_after_a_satisfied_window() -> None:
    run = new_run(freezes=2, per_break=1)

    play(run, 0, 2, 4)

    assert counts(run) == [1, 1, 2, 2, 3]


def test_a_freeze_that_comes_later_does_not_bring_a_broken_run_back() -> None:
    run = new_run()
    play(run, 0, 1)
    run.settle(day(3, 1))

    run.purse.held[STREAK] = 1
    run.settle(day(3, 2))

    assert run.count == 0
    assert run.purse.count(STREAK) == 1


def test_no_freeze_is_used_without_a_run() -> None:
    run = new_run(freezes=1)
    happen(run, day(0), target=Decimal(2))

    run.settle(day(9))

    assert run.purse.count(STREAK) == 1


def test_freezes_of_the_streak_go_before_those_for_any() -> None:
    purse = FreezePurse({STREAK: 1, None: 1})

    assert [purse.take(STREAK) for _ in range(3)] == [True, True, False]
    assert purse.held == {STREAK: 0, None: 0}


# --- Pauses --------------------------------------------------------------------------------------


def test_a_paused_span_is_skipped() -> None:
    run = new_run(pauses=[(day(2, 6), day(40, 6))])
    play(run, 0, 1)

    run.settle(day(40, 23))
    assert run.count == 2
    play(run, 41)

    assert counts(run) == [1, 2, 3]


def test_after_a_pause_a_missed_window_breaks_the_run_again() -> None:
    run = new_run(pauses=[(day(2, 6), day(40, 6))])
    play(run, 0, 1)

    changes = run.settle(day(42))

    assert [each.window.key for each in changes.broken] == ["2026-04-11"]


def test_a_window_that_a_pause_cut_short_breaks_nothing() -> None:
    run = new_run(pauses=[(day(1, 6), day(1, 7))])
    play(run, 0)
    happen(run, day(1), target=Decimal(2))

    run.settle(day(2, 1))

    assert run.count == 1
    assert run.rows[-1].state == "skipped"


# --- Zones ---------------------------------------------------------------------------------------


MOVES = st.lists(
    st.tuples(
        st.integers(0, 24 * 14),
        st.sampled_from([NEW_YORK, "Asia/Tokyo", "Pacific/Apia", "Europe/Berlin"]),
    ),
    max_size=6,
    unique_by=lambda move: move[0],
)


@settings(max_examples=60)
@given(MOVES)
def test_no_move_breaks_the_run_of_who_plays_every_old_day_or_doubles_an_event(
    moves: list[tuple[int, str]],
) -> None:
    zones = counted_zones([(START + hours * HOUR, zone) for hours, zone in sorted(moves)])
    plan = WindowPlan([(START, WindowRule("daily", PLAYER_ZONE))], first_zone=NEW_YORK, zones=zones)
    run = StreakRun(STREAK, plan, [])

    # An event at least every 23 hours satisfies every day of a clock that stands still.
    moments = [START + number * 23 * HOUR for number in range(16)]
    for moment in moments:
        assert happen(run, moment).broken == []

    assert 0 < run.count <= len(moments)
    assert run.is_well_formed()


# --- Repairs and milestones ----------------------------------------------------------------------


def repair(run: StreakRun, moment: datetime, until: datetime) -> Changes:
    row = run.find(moment)
    row.repair_id = uuid4()
    run.attach(row)
    return run.settle(until)


def test_a_repaired_window_counts() -> None:
    run = new_run()
    play(run, 0, 1, 4)

    for number in (2, 3):
        repair(run, day(number), day(4))

    assert run.count == 5


def test_a_repair_that_is_taken_back_leaves_what_was_before() -> None:
    run = new_run()
    play(run, 0, 1, 3)
    before = counts(run)
    repair(run, day(2), day(3))
    row = run.find(day(2))

    row.repair_id, row.state = None, "missed"
    run.settle(day(3))

    assert counts(run) == before


def names(run: StreakRun, changes: Changes, past: dict[int, PastReaches], *ever: int) -> list[int]:
    thresholds = dict.fromkeys((2, 3, 5), True) | dict.fromkeys(ever, False)
    found = reached(run, changes, thresholds=thresholds, past=past)
    for threshold, _, newest in found:
        old = past.get(threshold, PastReaches())
        past[threshold] = PastReaches(old.times + 1, (*old.windows, newest))
    return [threshold for threshold, _, _ in found]


def test_milestones_are_reached_once_in_a_run_and_again_in_a_new_one() -> None:
    run = new_run()
    past: dict[int, PastReaches] = {}

    found = [names(run, happen(run, day(number)), past, 3) for number in (0, 1, 2, 3, 6, 7, 8, 9)]

    assert found == [[], [2], [3], [], [], [2], [], []]


def test_acceptance_26_no_milestone_is_reached_twice_after_a_heal() -> None:
    run = new_run()
    past: dict[int, PastReaches] = {}
    found = [names(run, happen(run, day(number)), past) for number in (0, 1, 2, 4, 5)]
    assert found == [[], [2], [3], [], [2]]

    healed = names(run, happen(run, day(3), received_at=day(5)), past)
    more = names(run, happen(run, day(6)), past)

    assert run.count == 7
    assert healed == [5]
    assert more == []


def test_a_heal_that_reaches_several_milestones_reaches_each_of_them() -> None:
    run = new_run()
    past: dict[int, PastReaches] = {}
    for number in (0, 2, 3, 4, 5):
        happen(run, day(number))

    assert names(run, happen(run, day(1), received_at=day(5)), past) == [2, 3, 5]


def test_no_milestone_is_reached_again_in_what_a_taken_back_repair_leaves() -> None:
    run = new_run()
    past: dict[int, PastReaches] = {}
    for number in (0, 1, 3, 4, 5, 6):
        names(run, happen(run, day(number)), past)
    names(run, repair(run, day(2), day(6)), past)
    row = run.find(day(2))
    row.repair_id, row.state = None, "missed"

    assert names(run, run.settle(day(6)), past) == []
    assert names(run, happen(run, day(7)), past) == []
