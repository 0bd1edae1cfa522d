"""The world of one player as it is now, for whoever judges an event without writing anything."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from ingestion.types import StoredEvent
from players.selectors import facts_for
from players.types import PlayerFacts
from rewards.models import Account, PlayerLevel, RuleBudget, RuleUse
from rewards.rules.rule_conditions import player_document
from rewards.selectors import ladders
from rewards.types.book import Book
from rewards.types.money import ZERO
from rewards.types.rules import CompiledRule, Move, Spent, Use, Verdict

__all__ = ["PresentWorld", "facts_of"]


def facts_of(event: StoredEvent, now: Any) -> PlayerFacts | None:
    """Return the facts of the event's player, ``None`` for one who is not known. Queries: 4."""
    if event.user_id is None or "\0" in event.user_id:
        return None
    key = (event.tenant_id, event.user_id)
    return facts_for([key], now=now).get(key)


class PresentWorld:
    """Uses, budgets and wallets as they are stored; what fires only counts in memory.

    Made for one player and the rules that are to judge. Queries: 4, of an unknown player 1.
    """

    def __init__(
        self, facts: PlayerFacts | None, rules: Iterable[CompiledRule], book: Book
    ) -> None:
        self.fired: list[Verdict] = []
        self._facts = facts
        self._ladder = ladders.of(book).by_id.get(ladders.DEFAULT_LADDER_ID)
        self._level = 1
        self._uses: dict[tuple[UUID, str], Use] = {}
        self._wallets: dict[str, tuple[Decimal, Decimal]] = {}
        chosen = [rule.pk for rule in rules]
        rows = RuleBudget.objects.filter(rule_id__in=chosen)
        spent = rows.values_list("rule_id", "firings", "cost")
        self._spent = {pk: Spent(firings, cost) for pk, firings, cost in spent}
        if facts is not None:
            self._read_player(facts.player_id, chosen)

    def _read_player(self, player_id: UUID, rules: list[UUID]) -> None:
        uses = RuleUse.objects.filter(player_id=player_id, rule_id__in=rules)
        for pk, bucket, firings, amount in uses.values_list(
            "rule_id", "bucket", "firings", "amount"
        ):
            self._uses[pk, bucket] = Use(firings, amount)
        wallets = Account.objects.filter(player_id=player_id, kind=Account.Kind.WALLET)
        for currency_id, balance, lifetime in wallets.values_list(
            "currency__currency_id", "balance", "lifetime_earned"
        ):
            self._wallets[currency_id] = (balance, lifetime)
        if self._ladder is not None:
            levels = PlayerLevel.objects.filter(player_id=player_id, ladder_id=self._ladder.pk)
            self._level = levels.values_list("level", flat=True).first() or 1

    def use(self, rule: CompiledRule, bucket: str) -> Use:
        """Return how often the rule fired for the player in the bucket."""
        return self._uses.get((rule.pk, bucket), Use())

    def spent(self, rule: CompiledRule) -> Spent:
        """Return what is used of the rule's budget."""
        return self._spent.get(rule.pk, Spent())

    def available(self, currency_id: str) -> Decimal:
        """Return what the player can spend, lots that are due and not posted yet included."""
        return self._wallets.get(currency_id, (ZERO, ZERO))[0]

    def state(self, rule: CompiledRule) -> Mapping[str, Any]:
        """Return what conditions read of the player and the wallets."""
        wallets = {name: self._wallets.get(name, (ZERO, ZERO)) for name in rule.wallets}
        return {
            "player": player_document(
                {} if self._facts is None else self._facts.document, self._ladder, self._level
            ),
            "wallet": {
                name: {"available": available, "lifetime": lifetime}
                for name, (available, lifetime) in wallets.items()
            },
        }

    def fire(self, verdict: Verdict) -> None:
        """Count the firing, so that a later rule of the event sees it."""
        rule = verdict.rule
        self.fired.append(verdict)
        for bucket in verdict.uses:
            before = self.use(rule, bucket)
            used = Use(before.firings + 1, before.amount + verdict.credited)
            self._uses[rule.pk, bucket] = used
        spent = self.spent(rule)
        self._spent[rule.pk] = Spent(spent.firings + 1, spent.cost + verdict.cost)
        for planned in verdict.effects:
            if isinstance(planned.effect, Move):
                self._move(planned.effect, planned.amount)

    def _move(self, effect: Move, amount: Decimal) -> None:
        available, lifetime = self._wallets.get(effect.currency_id, (ZERO, ZERO))
        if effect.type == "credit":
            self._wallets[effect.currency_id] = (available + amount, lifetime + amount)
        else:
            self._wallets[effect.currency_id] = (available - amount, lifetime)
