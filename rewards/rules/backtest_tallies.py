"""What came of one version in a backtest, added up, and how two versions differ."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from heapq import nsmallest
from typing import Any, Final, NamedTuple
from uuid import UUID

from ingestion.types import StoredEvent
from rewards.rules.items import item_cost
from rewards.rules.periods import local_date
from rewards.types.book import Book
from rewards.types.money import EXACT, ZERO
from rewards.types.rules import CompiledRule, Move, Reason, Spent, Verdict

__all__ = ["TOP", "Tally", "difference"]

# How many players a report names.
TOP: Final = 20


class _Share(NamedTuple):
    """What one player or one day has of all firings; ``credited`` over all currencies."""

    firings: int = 0
    cost: Decimal = ZERO
    credited: Decimal = ZERO


_NOTHING: Final = _Share()


class Tally:
    """Adds up the firings and refusals of one version; ``events`` are the rows it fired for."""

    def __init__(self, rule: CompiledRule, book: Book) -> None:
        self.rule = rule
        self.events = array("q")
        self.firings = self.matched = self.outside_dates = 0
        self.cost = ZERO
        self.budget_reached_at: datetime | None = None
        self.shares: dict[str, _Share] = {}
        self._costs = {pk: item_cost(item, book) for pk, item in book.items.items()}
        self._items: Counter[UUID] = Counter()
        self._credited: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._days: dict[str, _Share] = {}
        self._refused: Counter[Reason] = Counter(dict.fromkeys(_possible_reasons(rule), 0))
        self._digest = sha256()

    def add(self, event: StoredEvent, verdict: Verdict, spent: Spent) -> None:
        """Add a verdict; ``spent`` is what is used of the budget after it."""
        self.matched += 1
        if verdict.reason is not None:
            self._refused[verdict.reason] += 1
        else:
            self._add_firing(event, verdict)
        if self.budget_reached_at is None and (
            verdict.reason == "budget_exhausted" or self._is_used_up(spent)
        ):
            self.budget_reached_at = event.occurred_at

    def add_failure(self) -> None:
        """Add an event that cannot be processed: the consumer would set it aside."""
        self.matched += 1
        self._refused["quarantined"] += 1

    def _add_firing(self, event: StoredEvent, verdict: Verdict) -> None:
        user_id, cost, credited = str(event.user_id), verdict.cost, verdict.credited
        self.firings += 1
        self.events.append(event.id)
        self.cost = EXACT.add(self.cost, cost)
        self.shares[user_id] = _more(self.shares.get(user_id, _NOTHING), cost, credited)
        day = local_date(event.occurred_at, self.rule.zone)
        self._days[day] = _more(self._days.get(day, _NOTHING), cost, credited)
        for planned in verdict.effects:
            self._items.update(planned.item_ids)
            effect = planned.effect
            if isinstance(effect, Move) and effect.type == "credit":
                so_far = self._credited[effect.currency_id]
                self._credited[effect.currency_id] = EXACT.add(so_far, planned.amount)
        line = f"{event.event_id}\t{user_id}\t{_text(cost)}\t{_text(credited)}\n"
        self._digest.update(line.encode())

    def _is_used_up(self, spent: Spent) -> bool:
        budget = self.rule.budget
        return (budget.firings is not None and spent.firings >= budget.firings) or (
            budget.cost is not None and spent.cost >= budget.cost
        )

    def digest(self) -> str:
        """Return a hash of the firings one by one, in their order."""
        return self._digest.hexdigest()

    def document(self) -> dict[str, Any]:
        """Return the counts as the report shows them."""
        return {
            "events_matched": self.matched,
            "firings": self.firings,
            "players": len(self.shares),
            "cost": self.cost,
            "credited": [
                {"currency_id": currency_id, "amount": amount}
                for currency_id, amount in sorted(self._credited.items())
            ],
            "items": [
                {
                    "item_id": item_id,
                    "count": count,
                    "cost": EXACT.multiply(self._costs[item_id], count),
                }
                for item_id, count in sorted(self._items.items())
            ],
            "refused": dict(sorted(self._refused.items())),
            "budget_reached_at": self.budget_reached_at,
            "per_day": [
                {"day": day, "firings": share.firings, "cost": share.cost}
                for day, share in sorted(self._days.items())
            ],
            "top_recipients": [
                {"user_id": user_id, "firings": share.firings, "cost": share.cost}
                for user_id, share in nsmallest(TOP, self.shares.items(), key=_most_first)
            ],
        }


def _more(share: _Share, cost: Decimal, credited: Decimal) -> _Share:
    return _Share(
        share.firings + 1, EXACT.add(share.cost, cost), EXACT.add(share.credited, credited)
    )


def _most_first(entry: tuple[str, _Share]) -> Any:
    user_id, share = entry
    return (-share.cost, -share.firings, user_id)


def _possible_reasons(rule: CompiledRule) -> Iterable[Reason]:
    """Yield the reasons whose limits the rule has: they are shown although nothing met them."""
    if rule.per_player.day is not None:
        yield "limit_day"
    if rule.per_player.week is not None:
        yield "limit_week"
    if rule.per_player.total is not None:
        yield "limit_total"
    if rule.amount_caps:
        yield "amount_cap"
    if rule.budget:
        yield "budget_exhausted"
    if rule.group is not None and rule.group.mode != "all":
        yield "group_lost"


def _text(number: Decimal) -> str:
    return f"{number.normalize(EXACT):f}"


# --- Two versions --------------------------------------------------------------------------------


class _Change(NamedTuple):
    user_id: str
    before: _Share
    after: _Share


def difference(before: Tally, after: Tally) -> dict[str, Any]:
    """Return what the second version does otherwise than the first.

    A player gains who has more firings, or as many of a higher cost, or else more credits.
    """
    changes = [
        _Change(user_id, old, new)
        for user_id in before.shares.keys() | after.shares.keys()
        if (old := before.shares.get(user_id, _NOTHING))
        != (new := after.shares.get(user_id, _NOTHING))
    ]
    gaining = sum(change.after > change.before for change in changes)
    return {
        "firings": [before.firings, after.firings],
        "cost": [before.cost, after.cost],
        "players_gaining": gaining,
        "players_losing": len(changes) - gaining,
        "top_changes": [
            {
                "user_id": change.user_id,
                "before": change.before.firings,
                "after": change.after.firings,
                "cost": [change.before.cost, change.after.cost],
            }
            for change in nsmallest(TOP, changes, key=_largest_first)
        ],
    }


def _largest_first(change: _Change) -> Any:
    firings = abs(change.after.firings - change.before.firings)
    return (-firings, -abs(change.after.cost - change.before.cost), change.user_id)
