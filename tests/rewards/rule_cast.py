"""Rules, events and a world without a database, for the tests of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from ingestion.types import StoredEvent
from players.types import PlayerFacts
from rewards.rules.engine import judge
from rewards.rules.rule_documents import compile_rule, parse_rule
from rewards.types.book import Book, ConfigView, CurrencyView, ItemView, TierView
from rewards.types.rules import CompiledRule, Move, Spent, Use, Verdict

NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
PLAYER = UUID(int=7)
SWORD = UUID("01980000-0000-7000-8000-000000000001")
CROWN = UUID("01980000-0000-7000-8000-000000000002")
IDLE = UUID("01980000-0000-7000-8000-000000000003")
PRIZES = UUID("01980000-0000-7000-8000-0000000000c1")
BUNDLE = UUID("01980000-0000-7000-8000-0000000000c2")


def currency(currency_id: str, **changes: Any) -> CurrencyView:
    fields: dict[str, Any] = {
        "pk": uuid4(),
        "tenant_id": "tenant-a",
        "currency_id": currency_id,
        "name": currency_id,
        "symbol": None,
        "kind": "points",
        "role": None,
        "is_spendable": True,
        "decimal_places": 0,
        "unit_cost": Decimal(0),
        "expiry_days": None,
        "is_active": True,
    }
    return CurrencyView(**{**fields, **changes})


def book() -> Book:
    currencies = [
        currency("xp", is_spendable=False, role="xp"),
        currency("gold", unit_cost=Decimal("0.01")),
        currency("cents", decimal_places=2),
        currency("EUR", kind="cash", decimal_places=2),
        currency("old", is_active=False),
    ]
    items = [
        ItemView(SWORD, "Sword", "badge", {}, unit_cost=Decimal(5)),
        ItemView(CROWN, "Crown", "badge", {}, unit_cost=Decimal(50)),
        ItemView(IDLE, "Idle", "badge", {}, is_active=False),
    ]
    configs = [
        ConfigView(
            PRIZES,
            "Prizes",
            "leaderboard",
            (
                TierView("first", (CROWN,), rank_min=1, rank_max=1),
                TierView("next", (SWORD,), rank_min=2, rank_max=3),
            ),
            True,
        ),
        ConfigView(BUNDLE, "Bundle", "achievement", (TierView("all", (SWORD, CROWN)),), True),
    ]
    return Book(
        tenant_id="tenant-a",
        stamp=1,
        timezone="Europe/Stockholm",
        currencies={each.currency_id: each for each in currencies},
        currencies_by_pk={each.pk: each for each in currencies},
        items={each.pk: each for each in items if each.pk is not None},
        configs={each.pk: each for each in configs},
    )


BOOK = book()


def document(**changes: Any) -> dict[str, Any]:
    return {
        "rule_id": "big-win",
        "name": "Big win",
        "trigger": {"type": "event", "names": ["game.completed"]},
        "conditions": {},
        "effects": [{"type": "credit", "currency_id": "gold", "amount": fixed(50)}],
        "timezone": "UTC",
        **changes,
    }


def fixed(amount: Any) -> dict[str, Any]:
    return {"type": "fixed", "amount": amount}


def rule(**changes: Any) -> CompiledRule:
    parsed = parse_rule(document(**changes), book=BOOK)
    return compile_rule(uuid4(), 1, parsed.document)


def event(type_: str = "game.completed", **changes: Any) -> StoredEvent:
    fields: dict[str, Any] = {
        "id": 1,
        "xid": 1,
        "shard": 0,
        "tenant_id": "tenant-a",
        "event_id": "event-1",
        "type": type_,
        "user_id": "ana",
        "metadata": {},
        "attrs": {},
        "occurred_at": NOON,
        "received_at": NOON + timedelta(seconds=1),
        "source": "api",
        "cause": None,
        "depth": 0,
    }
    return StoredEvent(**{**fields, **changes})


def facts(**changes: Any) -> PlayerFacts:
    fields: dict[str, Any] = {"player_id": PLAYER, "tenant_id": "tenant-a", "external_id": "ana"}
    return PlayerFacts(**{**fields, **changes})


@dataclass
class FakeWorld:
    """The world of one player, in memory."""

    wallets: dict[str, Decimal] = field(default_factory=dict)
    player: Mapping[str, Any] = field(default_factory=dict)
    uses: dict[tuple[str, str], Use] = field(default_factory=dict)
    budgets: dict[str, Spent] = field(default_factory=dict)
    fired: list[Verdict] = field(default_factory=list)

    def use(self, rule: CompiledRule, bucket: str) -> Use:
        return self.uses.get((rule.rule_id, bucket), Use())

    def spent(self, rule: CompiledRule) -> Spent:
        return self.budgets.get(rule.rule_id, Spent())

    def available(self, currency_id: str) -> Decimal:
        return self.wallets.get(currency_id, Decimal(0))

    def state(self, rule: CompiledRule) -> Mapping[str, Any]:
        wallet = {
            currency_id: {"available": self.available(currency_id), "lifetime": Decimal(0)}
            for currency_id in rule.wallets
        }
        return {"player": self.player, "wallet": wallet}

    def fire(self, verdict: Verdict) -> None:
        self.fired.append(verdict)
        for bucket in verdict.uses:
            firings, amount = self.use(verdict.rule, bucket)
            used = Use(firings + 1, amount + verdict.credited)
            self.uses[verdict.rule.rule_id, bucket] = used
        spent = self.spent(verdict.rule)
        now = Spent(spent.firings + 1, spent.cost + verdict.cost)
        self.budgets[verdict.rule.rule_id] = now
        for planned in verdict.effects:
            if isinstance(planned.effect, Move):
                sign = 1 if planned.effect.type == "credit" else -1
                name = planned.effect.currency_id
                self.wallets[name] = self.available(name) + sign * planned.amount


def verdicts_of(
    rules: list[CompiledRule],
    happened: StoredEvent,
    world: FakeWorld | None = None,
    player: PlayerFacts | None = None,
) -> list[Verdict]:
    """Return what rules make of an event, in the order of judging."""
    ordered = sorted(rules, key=lambda each: each.order)
    return judge(happened, happened.root, ordered, player or facts(), BOOK, world or FakeWorld())


def reasons_of(verdicts: list[Verdict]) -> dict[str, str | None]:
    return {each.rule.rule_id: each.reason for each in verdicts}
