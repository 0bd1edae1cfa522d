"""The pure part of backtests: worlds in memory, two versions in one pass, hashes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ingestion.types import StoredEvent
from players.types import PlayerFacts
from rewards.exceptions import DocumentError
from rewards.rules.backtest_questions import (
    parameters_of,
    question_of,
    read_order,
    read_question,
)
from rewards.rules.backtesting import Simulation, event_types, hash_of
from rewards.rules.rule_documents import compile_rule, parse_rule
from rewards.types.backtests import Cast, Opening, OpeningWallet
from rewards.types.rules import CompiledRule, Spent, Use
from tests.rewards.rule_cast import BOOK, CROWN, NOON, SWORD, document, event, facts, fixed

RULE_PK = UUID(int=99)
DAY = timedelta(days=1)
AT_LEAST_20 = {"op": "gte", "field": "attrs.bet", "value": 20}


class Players:
    """Players whom a test makes up."""

    def __init__(
        self,
        known: Mapping[str, PlayerFacts] | None = None,
        wallets: Mapping[tuple[str, str], OpeningWallet] | None = None,
    ) -> None:
        self.known = known or {}
        self.wallets = wallets or {}
        self.asked: list[list[str]] = []

    def prepare(self, user_ids: Sequence[str]) -> None:
        self.asked.append(list(user_ids))

    def facts(self, user_id: str) -> PlayerFacts | None:
        return self.known.get(user_id)

    def wallet(self, user_id: str, currency_id: str) -> OpeningWallet:
        return self.wallets.get((user_id, currency_id), OpeningWallet())


def version(number: int = 1, **changes: Any) -> CompiledRule:
    return compile_rule(RULE_PK, number, parse_rule(document(**changes), book=BOOK).document)


def mate(rule_id: str, **changes: Any) -> CompiledRule:
    changes = {"rule_id": rule_id, **changes}
    pk = UUID(int=sum(map(ord, rule_id)))
    return compile_rule(pk, 1, parse_rule(document(**changes), book=BOOK).document)


def events(*bets: int, user_id: str = "ana", **changes: Any) -> list[StoredEvent]:
    return [
        event(
            id=number, event_id=f"e-{number}", user_id=user_id, **{"attrs": {"bet": bet}, **changes}
        )
        for number, bet in enumerate(bets, start=1)
    ]


def backtest(
    *casts: CompiledRule | Cast, of: Sequence[StoredEvent], players: Players | None = None
) -> dict[str, Any]:
    whole = [each if isinstance(each, Cast) else Cast(each) for each in casts]
    simulation = Simulation(whole, BOOK, players or Players(), definition={})
    simulation.feed(of)
    return simulation.report()


def test_firings_costs_credits_and_items_are_added_up() -> None:
    rule = version(
        conditions=AT_LEAST_20,
        effects=[
            {"type": "credit", "currency_id": "gold", "amount": fixed(50)},
            {"type": "grant", "item_id": str(SWORD)},
        ],
    )
    found = backtest(rule, of=[*events(25, 5, 40), *events(30, user_id="ben")])

    assert found["events_read"] == 4
    assert (found["events_matched"], found["firings"], found["players"]) == (3, 3, 2)
    # Each costs 50 gold at 0.01 and a sword at 5.
    assert found["cost"] == Decimal("16.5")
    assert found["credited"] == [{"currency_id": "gold", "amount": Decimal(150)}]
    assert found["items"] == [{"item_id": SWORD, "count": 3, "cost": Decimal(15)}]
    assert found["per_day"] == [{"day": "2026-03-05", "firings": 3, "cost": Decimal("16.5")}]
    assert found["top_recipients"] == [
        {"user_id": "ana", "firings": 2, "cost": Decimal(11)},
        {"user_id": "ben", "firings": 1, "cost": Decimal("5.5")},
    ]
    assert (found["refused"], found["budget_reached_at"], found["diff"]) == ({}, None, None)


def test_limits_are_simulated_in_the_zone_of_the_rule() -> None:
    rule = version(limits={"per_player": {"day": 1}}, timezone="Europe/Stockholm")
    # In Stockholm 23:30 UTC is the next day already.
    late = [replace_time(each, NOON + timedelta(hours=11.5)) for each in events(1, 2)]
    found = backtest(rule, of=[*events(1, 2), *late])

    assert (found["firings"], found["refused"]) == (2, {"limit_day": 2})
    assert [line["day"] for line in found["per_day"]] == ["2026-03-05", "2026-03-06"]


def replace_time(happened: StoredEvent, at: Any) -> StoredEvent:
    return happened._replace(occurred_at=at)


def test_a_clipped_amount_counts_with_what_is_left_of_it() -> None:
    found = backtest(version(limits={"amount": {"day": 120}}), of=events(1, 2, 3, 4))

    assert (found["firings"], found["refused"]) == (3, {"amount_cap": 1})
    assert found["credited"] == [{"currency_id": "gold", "amount": Decimal(120)}]


def test_the_budget_ends_at_the_event_that_used_it_up() -> None:
    rule = version(limits={"budget": {"firings": 2}})
    timed = [replace_time(each, NOON + each.id * DAY) for each in events(1, 2, 3)]
    found = backtest(rule, of=timed)

    assert (found["firings"], found["refused"]) == (2, {"budget_exhausted": 1})
    assert found["budget_reached_at"] == NOON + 2 * DAY


def test_another_rule_of_the_group_may_win() -> None:
    group = {"name": "wins", "mode": "first"}
    low = version(group=group, priority=10)
    high = mate("vip", group=group, priority=20, conditions=AT_LEAST_20)
    found = backtest(Cast(low, (high,)), of=events(25, 5))

    assert (found["firings"], found["refused"]) == (1, {"group_lost": 1})


def test_blocked_players_and_deep_chains_get_nothing() -> None:
    players = Players({"ana": facts(ban_scopes=frozenset({"rewards"})), "ben": facts()})
    deep = events(1, user_id="ben", depth=8)
    found = backtest(version(), of=[*events(1), *events(1, user_id="ben"), *deep], players=players)

    assert (found["firings"], found["refused"]) == (1, {"chain_too_deep": 1, "player_blocked": 1})


def test_only_players_whose_events_may_fire_are_read() -> None:
    players = Players()
    backtest(
        version(conditions=AT_LEAST_20),
        of=[*events(25), *events(5, user_id="ben")],
        players=players,
    )

    assert players.asked == [["ana"]]


def test_conditions_read_the_profile_and_a_wallet_that_the_rule_itself_moves() -> None:
    rule = version(
        conditions={
            "op": "and",
            "conditions": [
                {"op": "eq", "field": "player.country", "value": "SE"},
                {"op": "lt", "field": "wallet.gold.available", "value": 100},
            ],
        }
    )
    players = Players({"ana": facts(document={"country": "SE"}), "ben": facts()})
    of = [*events(1, 2, 3), *events(1, user_id="ben")]

    assert backtest(rule, of=of, players=players)["firings"] == 2
    players.wallets = {("ana", "gold"): OpeningWallet(Decimal(60), Decimal(60))}
    assert backtest(rule, of=of, players=players)["firings"] == 1


def test_a_debit_that_the_wallet_cannot_pay_is_refused() -> None:
    rule = version(effects=[{"type": "debit", "currency_id": "gold", "amount": fixed(40)}])
    players = Players(wallets={("ana", "gold"): OpeningWallet(Decimal(100), Decimal(100))})
    found = backtest(rule, of=events(1, 2, 3), players=players)

    assert (found["firings"], found["refused"]) == (2, {"insufficient_balance": 1})


def test_it_begins_with_what_was_used_before() -> None:
    rule = version(limits={"per_player": {"total": 2}, "budget": {"firings": 4}})
    opening = Opening(
        uses={("big-win", "total"): {"ana": Use(1, Decimal(50))}},
        spent={"big-win": Spent(2, Decimal(1))},
    )
    found = backtest(Cast(rule, (), opening), of=[*events(1, 2), *events(3, 4, user_id="ben")])

    assert found["firings"] == 2
    assert found["refused"] == {"budget_exhausted": 1, "limit_total": 1}
    assert opening.uses["big-win", "total"] == {"ana": Use(1, Decimal(50))}


def test_an_amount_that_no_wallet_holds_is_counted_and_stops_nothing() -> None:
    effect = {
        "type": "credit",
        "currency_id": "gold",
        "amount": {"type": "multiplier", "field": "attrs.bet", "factor": 10**15},
    }
    found = backtest(version(effects=[effect]), of=events(10**6, 1))

    assert (found["firings"], found["refused"]) == (1, {"quarantined": 1})


def test_events_outside_the_dates_are_counted_apart() -> None:
    rule = version(starts_at="2026-03-06T00:00:00Z")
    simulation = Simulation([Cast(rule)], BOOK, Players(), definition={})
    simulation.feed([*events(1, 2), replace_time(events(3)[0], NOON + DAY)])

    assert simulation.report()["events_matched"] == 1
    assert simulation.tally.outside_dates == 2


def test_two_versions_in_one_pass_do_not_touch_each_other() -> None:
    limits = {"per_player": {"day": 2}}
    old = version(1, conditions=AT_LEAST_20, limits=limits)
    new = version(
        2,
        conditions={"op": "gte", "field": "attrs.bet", "value": 50},
        limits=limits,
        effects=[{"type": "grant", "item_id": str(CROWN)}],
    )
    of = [*events(20, 30, 60), *events(70, 80, user_id="ben"), *events(20, user_id="cat")]
    found = backtest(new, old, of=of)
    alone = backtest(new, of=of), backtest(old, of=of)

    assert found["diff"] == {
        "firings": [5, 3],
        "cost": [Decimal("2.5"), Decimal(150)],
        # Ana and Cat have fewer firings; Ben has as many, of more worth.
        "players_gaining": 1,
        "players_losing": 2,
        "top_changes": [
            {"user_id": "ana", "before": 2, "after": 1, "cost": [Decimal(1), Decimal(50)]},
            {"user_id": "cat", "before": 1, "after": 0, "cost": [Decimal("0.5"), Decimal(0)]},
            {"user_id": "ben", "before": 2, "after": 2, "cost": [Decimal(1), Decimal(100)]},
        ],
    }
    assert [each["firings"] for each in alone] == [3, 5]


def test_the_same_input_has_the_same_hashes_however_it_is_cut() -> None:
    rule = version(conditions=AT_LEAST_20)
    whole = events(*range(10, 40))
    one = backtest(rule, of=whole)
    simulation = Simulation([Cast(rule)], BOOK, Players(), definition={})
    for start in range(0, len(whole), 7):
        simulation.feed(whole[start : start + 7])
    pages = simulation.report()

    assert pages == one


@pytest.mark.parametrize("change", ["event", "player", "rule"])
def test_other_results_have_other_hashes(change: str) -> None:
    of = events(25, 30)
    rule = version(conditions=AT_LEAST_20)
    one = backtest(rule, of=of)
    players = Players({"ana": facts(is_opted_out=True)}) if change == "player" else None
    if change == "event":
        of = [of[0], of[1]._replace(event_id="another", id=7)]
    if change == "rule":
        rule = version()
        of = [*of, *events(1)]
    other = backtest(rule, of=of, players=players)

    assert other["input_hash"] != one["input_hash"]
    assert other["result_hash"] != one["result_hash"]


def test_what_nothing_depends_on_changes_no_hash() -> None:
    first = backtest(version(), of=events(1))
    known = Players({"ana": facts(document={"last_seen_at": NOON})})

    assert backtest(version(), of=events(1), players=known) == first
    assert hash_of({"a": Decimal("1.50"), "b": 1}) == hash_of({"b": 1, "a": Decimal("1.5")})


def test_the_types_of_all_rules_are_read() -> None:
    rule = version(trigger={"type": "event", "names": ["game.*", "bet.placed"]})
    other = mate("other", trigger={"type": "platform", "names": ["level.reached"]})

    assert event_types([Cast(rule, (other,))]) == (["bet.placed", "level.reached"], ["game."])


# --- What is asked -------------------------------------------------------------------------------

ASKED = {
    "version": 2,
    "compare_to": 1,
    "from": "2026-03-01T00:00:00Z",
    "to": "2026-03-08T00:00:00Z",
}


def test_a_question_survives_its_job() -> None:
    question = read_question("big-win", ASKED)

    assert question.start == "empty"
    assert question_of(parameters_of(question)) == question
    as_of = replace(question, start="as_of", compare_to=None)
    assert question_of(parameters_of(as_of)) == as_of


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"segment_id": "vip"}, "segment_id", "not supported yet"),
        ({"from": None}, "from", "is required"),
        ({"to": "2026-03-01T00:00:00Z"}, "to", "must be later than from"),
        ({"to": "2026-03-08"}, "to", "is not an RFC 3339 time"),
        ({"version": 0}, "version", "must be a whole number"),
        ({"compare_to": 2}, "compare_to", "must be another version"),
        ({"start": "now"}, "start", "must be one of empty, as_of"),
        ({"players": []}, "players", "is not a known key"),
    ],
)
def test_a_wrong_question_is_refused_by_name(
    change: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        read_question("big-win", ASKED | change)

    assert [(each.path, each.message[: len(message)]) for each in caught.value.faults] == [
        (path, message)
    ]


def test_an_order_names_all_that_is_missing() -> None:
    with pytest.raises(DocumentError) as caught:
        read_order({"reason": 5})

    assert {fault.path for fault in caught.value.faults} == {
        *("version", "backtest_id", "result_hash", "reason"),
    }
