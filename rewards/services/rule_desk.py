"""Rules within one settlement: what they used and spent, what fired and what was refused."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from ingestion.types import StoredEvent
from phoenix_site.common.ids import uuid7
from players.types import PlayerFacts
from rewards.constants import BUDGET_SHARES
from rewards.exceptions import CouponInactiveError
from rewards.models import RuleBudget, RuleNotice
from rewards.rules.budgets import notice_text, share_of
from rewards.rules.engine import judge
from rewards.rules.items import item_cost
from rewards.rules.periods import buckets_of
from rewards.rules.plans import plain
from rewards.rules.rule_conditions import player_document
from rewards.selectors import ladders
from rewards.services import firing_store, rule_uses
from rewards.services.achievement_desk import AchievementDesk
from rewards.services.coupon_desk import CouponDesk
from rewards.services.firing_store import NewFiring, NewRefusal
from rewards.services.granting import GrantDesk, GrantLine
from rewards.services.ladders import LadderDesk
from rewards.services.rule_uses import UseKey
from rewards.services.settlement import Settlement
from rewards.services.streaks import StreakDesk
from rewards.types.book import Book
from rewards.types.causes import Cause, RuleRef
from rewards.types.rules import (
    AddProgress,
    CompiledRule,
    GiveCoupon,
    GrantConfig,
    GrantItem,
    Move,
    PlannedEffect,
    Root,
    Spent,
    Use,
    Verdict,
)
from tenants.services import audit
from tenants.types import AuditChange

__all__ = ["RuleDesk"]

_NO_USE: Final = Use()
_NOTHING_SPENT: Final = Spent()


class RuleDesk:
    """Judges events of the settlement's players, and writes what came of it at its end."""

    order: ClassVar[int] = 10

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.is_retroactive = False
        self._uses: dict[UseKey, Use] = {}
        self._used: set[UseKey] = set()
        self._spent: dict[UUID, Spent] = {}
        self._spending: dict[UUID, CompiledRule] = {}
        self._tenants: dict[UUID, str] = {}
        self._refused_by_budget: dict[UUID, CompiledRule] = {}
        self._firings: list[NewFiring] = []
        self._refusals: list[NewRefusal] = []

    def prepare(
        self,
        candidates: Iterable[tuple[StoredEvent, UUID, Iterable[CompiledRule]]],
        budgets: Mapping[UUID, Spent],
    ) -> None:
        """Read the uses that judging these (event, player, rules) may ask for. Queries: 1 or 0.

        ``budgets`` were locked before the players.
        """
        self._spent.update(budgets)
        wanted = {
            (rule.pk, player_id, bucket)
            for event, player_id, rules in candidates
            for rule in rules
            if rule.tracked
            for bucket in buckets_of(rule.tracked, event.occurred_at, rule.zone)
        }
        self._uses.update(rule_uses.read_uses(wanted - self._uses.keys()))

    def judge(
        self, event: StoredEvent, root: Root, rules: Iterable[CompiledRule], player_id: UUID
    ) -> list[Verdict]:
        """Let rules judge one event of a player; those that fire take effect.

        Returns the verdicts. A refusal is kept only of what was judged when its turn came.
        """
        facts = self.settlement.facts[player_id]
        book = self.settlement.book(event.tenant_id)
        world = _LiveWorld(self, event, facts, book)
        verdicts = judge(event, root, rules, facts, book, world)
        for verdict in verdicts:
            if not verdict.is_fired:
                self._note_refusal(event, player_id, verdict)
        return verdicts

    def _note_refusal(self, event: StoredEvent, player_id: UUID, verdict: Verdict) -> None:
        if not self.is_retroactive:
            self._refusals.append(NewRefusal(event, player_id, verdict))
        if verdict.reason == "budget_exhausted":
            self._refused_by_budget[verdict.rule.pk] = verdict.rule
            self._tenants[verdict.rule.pk] = event.tenant_id

    # --- What the world of a player asks ---------------------------------------------------------

    def use(self, rule: CompiledRule, player_id: UUID, bucket: str) -> Use:
        """Return the present use of a bucket that was prepared."""
        return self._uses.get((rule.pk, player_id, bucket), _NO_USE)

    def spent(self, rule: CompiledRule) -> Spent:
        """Return what is used of a budget that was locked."""
        return self._spent.get(rule.pk, _NOTHING_SPENT)

    def note_firing(self, firing: NewFiring) -> None:
        """Keep a firing to be written, and count it."""
        verdict, rule = firing.verdict, firing.verdict.rule
        self._firings.append(firing)
        for bucket in verdict.uses:
            key = (rule.pk, firing.player_id, bucket)
            before = self._uses.get(key, _NO_USE)
            self._uses[key] = Use(before.firings + 1, before.amount + verdict.credited)
            self._used.add(key)
        if rule.budget:
            spent = self.spent(rule)
            self._spent[rule.pk] = Spent(spent.firings + 1, spent.cost + verdict.cost)
            self._spending[rule.pk] = rule
            self._tenants[rule.pk] = firing.event.tenant_id

    # --- Writing ---------------------------------------------------------------------------------

    def write(self) -> None:
        """Store firings, refusals, uses and budgets. Queries: at most 4, more for a notice."""
        now = self.settlement.now
        firing_store.write_firings(self._firings, now=now, is_retroactive=self.is_retroactive)
        firing_store.write_refusals(self._refusals, now=now)
        rule_uses.write_uses({key: self._uses[key] for key in self._used})
        rule_uses.write_budgets({pk: self._spent[pk] for pk in self._spending})
        self._tell_staff(now)

    def _tell_staff(self, now: datetime) -> None:
        """Tell of budgets that came to 80 or 100 percent; a refusal means there is no more room."""
        shares = {
            rule: 100 if pk in self._refused_by_budget else share_of(rule.budget, self.spent(rule))
            for pk, rule in {**self._spending, **self._refused_by_budget}.items()
        }
        for rule, reached in shares.items():
            for share in BUDGET_SHARES:
                if reached >= share:
                    self._tell(rule, share, now)

    def _tell(self, rule: CompiledRule, share: int, now: datetime) -> None:
        """Tell once: whoever sets the time on the budget's row first."""
        field = f"told_{share}_at"
        rows = RuleBudget.objects.filter(rule_id=rule.pk, **{field: None})
        if not rows.update(**{field: now}):
            return
        tenant_id = self._tenants[rule.pk]
        text = notice_text(rule.rule_id, share, rule.budget, self.spent(rule))
        RuleNotice.objects.create(
            tenant_id=tenant_id, rule_id=rule.pk, share=share, text=text, at=now
        )
        change = AuditChange("rule", str(rule.pk), f"{rule.name} ({rule.rule_id})")
        audit.record(
            "rule.budget",
            actor=audit.SYSTEM,
            now=now,
            tenant_id=tenant_id,
            change=change,
            reason=text,
        )


class _LiveWorld:
    """The world of one event and player in which effects really happen."""

    __slots__ = ("_book", "_desk", "_event", "_facts", "_player_id", "_settlement")

    def __init__(self, desk: RuleDesk, event: StoredEvent, facts: PlayerFacts, book: Book) -> None:
        self._desk = desk
        self._settlement = desk.settlement
        self._event = event
        self._facts = facts
        self._player_id = facts.player_id
        self._book = book

    def use(self, rule: CompiledRule, bucket: str) -> Use:
        return self._desk.use(rule, self._player_id, bucket)

    def spent(self, rule: CompiledRule) -> Spent:
        return self._desk.spent(rule)

    def available(self, currency_id: str) -> Any:
        currency = self._book.currencies[currency_id]
        return self._settlement.wallet(self._player_id, currency).available

    def state(self, rule: CompiledRule) -> Mapping[str, Any]:
        return {
            "player": self._player(rule),
            "wallet": {currency_id: self._wallet(currency_id) for currency_id in rule.wallets},
        }

    def _player(self, rule: CompiledRule) -> Mapping[str, Any]:
        ladder = ladders.of(self._book).by_id.get(ladders.DEFAULT_LADDER_ID)
        if "standing" not in rule.needs or ladder is None:
            return self._facts.document
        standing = self._settlement.part(LadderDesk).standing(self._player_id, ladder.pk)
        return player_document(self._facts.document, ladder, standing.level)

    def _wallet(self, currency_id: str) -> Mapping[str, Any]:
        currency = self._book.currencies.get(currency_id)
        if currency is None:
            return {}
        wallet = self._settlement.wallet(self._player_id, currency)
        return {"available": wallet.available, "lifetime": wallet.lifetime_earned}

    def fire(self, verdict: Verdict) -> None:
        rule, event, firing_id = verdict.rule, self._event, uuid7()
        cause = Cause(
            tenant_id=event.tenant_id,
            source_type="rule",
            # Of the event, not of the firing: what is given for an event is given once.
            source_id=f"{rule.rule_id}:{event.id}",
            kind="firing",
            id=str(firing_id),
            event_id=event.event_id,
            event_row=event.id,
            depth=event.depth,
            occurred_at=event.occurred_at,
            rule=RuleRef(rule.pk, rule.rule_id, rule.version, firing_id),
        )
        grants = self._give(verdict, cause)
        effects: list[dict[str, Any]] = []
        for number, planned in enumerate(verdict.effects):
            apply = _APPLY[type(planned.effect)]
            effects += apply(self, planned, cause, number, grants)
        self._desk.note_firing(NewFiring(firing_id, event, self._player_id, verdict, effects))

    def _give(self, verdict: Verdict, cause: Cause) -> "list[str]":
        """Give the items of all effects as one group; return the ids of the grants in order."""
        lines = [
            GrantLine(self._book.items[item_id])
            for planned in verdict.effects
            for item_id in planned.item_ids
        ]
        if not lines:
            return []
        desk = self._settlement.part(GrantDesk)
        given = desk.give(self._player_id, items=lines, cause=cause, context={}, is_new=True)
        return [str(grant.pk) for grant in given]

    def _apply_grant(
        self, planned: PlannedEffect, _cause: Cause, _number: int, grants: list[str]
    ) -> list[dict[str, Any]]:
        effect = planned.effect
        named = (
            {"reward_config_id": str(effect.config_id)} if isinstance(effect, GrantConfig) else {}
        )
        return [
            {
                "type": "grant",
                **named,
                "item_id": str(item_id),
                "grant_id": grants.pop(0),
                "cost": plain(item_cost(self._book.items[item_id], self._book)),
            }
            for item_id in planned.item_ids
        ]

    def _apply_move(
        self, planned: PlannedEffect, cause: Cause, number: int, _grants: list[str]
    ) -> list[dict[str, Any]]:
        effect: Any = planned.effect
        shown = {
            "type": effect.type,
            "currency_id": effect.currency_id,
            "amount": plain(planned.amount),
            "cost": plain(planned.cost),
        }
        if not planned.amount:
            return [shown]
        move = self._settlement.credit if effect.type == "credit" else self._settlement.debit
        made = move(
            self._player_id,
            self._book.currencies[effect.currency_id],
            planned.amount,
            cause=cause,
            key=f"firing:{cause.id}:{number}",
        )
        return [{**shown, "transaction_id": str(made.transaction_id)}]

    def _apply_progress(
        self, planned: PlannedEffect, cause: Cause, _number: int, _grants: list[str]
    ) -> list[dict[str, Any]]:
        effect: Any = planned.effect
        if planned.amount:
            desk = self._settlement.part(_GOALS[effect.goal_kind])
            desk.add_progress(self._player_id, effect.goal_id, planned.amount, cause)
        goal = f"{effect.goal_kind}:{effect.goal_id}"
        return [{"type": "progress", "goal": goal, "amount": plain(planned.amount)}]

    def _apply_coupon(
        self, planned: PlannedEffect, cause: Cause, _number: int, _grants: list[str]
    ) -> list[dict[str, Any]]:
        effect: Any = planned.effect
        shown = {"type": "coupon", "coupon_id": str(effect.coupon_id)}
        desk = self._settlement.part(CouponDesk)
        try:
            given = desk.assign(self._player_id, effect.coupon_id, cause)
        except CouponInactiveError as exc:
            # Archived since the rule was published; the rest of the firing is not to blame.
            return [{**shown, "error": exc.message}]
        return [{**shown, "code_id": str(given.code_id), "code": given.code}]


_GOALS: Final[dict[str, Any]] = {"achievement": AchievementDesk, "streak": StreakDesk}
_Apply = Callable[[_LiveWorld, PlannedEffect, Cause, int, list[str]], list[dict[str, Any]]]
_APPLY: Final[dict[type, _Apply]] = {
    GrantItem: _LiveWorld._apply_grant,  # noqa: SLF001 - the table of this very class
    GrantConfig: _LiveWorld._apply_grant,  # noqa: SLF001
    Move: _LiveWorld._apply_move,  # noqa: SLF001
    AddProgress: _LiveWorld._apply_progress,  # noqa: SLF001
    GiveCoupon: _LiveWorld._apply_coupon,  # noqa: SLF001
}
