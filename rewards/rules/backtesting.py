"""Backtests: what a version of a rule would have done over events of the past (RUL-18).

Pure: events, players and the state at the beginning are handed in, nothing is written. The engine
is the consumer's own; only the world in which rules fire is one in memory. Two versions run over
the same events in one pass, each in a world of its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple

from ingestion.types import StoredEvent
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.json import rendered
from phoenix_site.common.paths import ABSENT, Reader, compile_reader, parse_path
from players.types import PlayerFacts
from rewards.rules.backtest_tallies import Tally, difference
from rewards.rules.engine import judge, was_in_dates
from rewards.rules.rule_conditions import root_of
from rewards.rules.rule_index import RuleIndex
from rewards.types.backtests import Cast, Opening, OpeningWallet, People
from rewards.types.book import Book
from rewards.types.money import EXACT
from rewards.types.rules import CompiledRule, Move, Root, Spent, Use, Verdict

__all__ = ["Simulation", "event_types", "hash_of", "reads_money", "reads_player"]

_NO_USE: Final = Use()
_NOTHING_SPENT: Final = Spent()


def event_types(casts: Iterable[Cast]) -> tuple[list[str], list[str]]:
    """Return the event types that any of the rules looks at, and the beginnings of others."""
    names = {name for cast in casts for rule in cast.rules for name in rule.trigger.names}
    prefixes = {name[:-1] for name in names if name.endswith("*")}
    return sorted(name for name in names if not name.endswith("*")), sorted(prefixes)


def reads_money(rules: Iterable[CompiledRule]) -> frozenset[str]:
    """Return the currencies whose balance decides anything in these rules."""
    debited = {
        effect.currency_id
        for rule in rules
        for effect in rule.effects
        if isinstance(effect, Move) and effect.type == "debit"
    }
    return frozenset(debited.union(*(rule.wallets for rule in rules)))


def reads_player(rules: Iterable[CompiledRule]) -> tuple[str, ...]:
    """Return the paths of the player's profile that conditions of these rules read."""
    paths = {path for rule in rules for path in rule.condition.fields}
    return tuple(sorted(path for path in paths if parse_path(path)[0] == "player"))


def hash_of(document: Any) -> str:
    """Return the SHA-256 of a document, equal for equal numbers and whatever order of keys."""
    text = json.dumps(rendered(_plain(document)), sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize(EXACT):f}"
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


# --- One version's world -------------------------------------------------------------------------


class _SimulatedWorld:
    """Limits, budgets and wallets of one version and its group, in memory."""

    def __init__(self, cast: Cast, book: Book, people: People) -> None:
        self.player = ""
        self.facts: PlayerFacts | None = None
        self._uses = {key: dict(by_player) for key, by_player in cast.opening.uses.items()}
        self._spent = dict(cast.opening.spent)
        self._people = people
        self._book = book
        # What nobody reads is not kept.
        self._money = reads_money(cast.rules)
        self._wallets: dict[tuple[str, str], OpeningWallet] = {}

    def use(self, rule: CompiledRule, bucket: str) -> Use:
        by_player = self._uses.get((rule.rule_id, bucket))
        return _NO_USE if by_player is None else by_player.get(self.player, _NO_USE)

    def spent(self, rule: CompiledRule) -> Spent:
        return self._spent.get(rule.rule_id, _NOTHING_SPENT)

    def available(self, currency_id: str) -> Decimal:
        return self._wallet(currency_id).available

    def state(self, rule: CompiledRule) -> Mapping[str, Any]:
        wallets = {
            currency_id: self._wallet(currency_id)._asdict()
            for currency_id in rule.wallets
            if currency_id in self._book.currencies
        }
        document = {} if self.facts is None else self.facts.document
        return {"player": document, "wallet": wallets}

    def fire(self, verdict: Verdict) -> None:
        rule = verdict.rule
        for bucket in verdict.uses:
            by_player = self._uses.setdefault((rule.rule_id, bucket), {})
            used = by_player.get(self.player, _NO_USE)
            by_player[self.player] = Use(used.firings + 1, used.amount + verdict.credited)
        if rule.budget:
            spent = self.spent(rule)
            self._spent[rule.rule_id] = Spent(spent.firings + 1, spent.cost + verdict.cost)
        if self._money:
            self._move(verdict)

    def _move(self, verdict: Verdict) -> None:
        for planned in verdict.effects:
            effect = planned.effect
            if not isinstance(effect, Move) or effect.currency_id not in self._money:
                continue
            before, amount = self._wallet(effect.currency_id), planned.amount
            is_credit = effect.type == "credit"
            self._wallets[self.player, effect.currency_id] = OpeningWallet(
                EXACT.add(before.available, amount if is_credit else -amount),
                EXACT.add(before.lifetime, amount) if is_credit else before.lifetime,
            )

    def _wallet(self, currency_id: str) -> OpeningWallet:
        found = self._wallets.get((self.player, currency_id))
        return self._people.wallet(self.player, currency_id) if found is None else found


class _Side:
    """One version over all events: its rules, its world, what came of it."""

    def __init__(self, cast: Cast, book: Book, people: People) -> None:
        self.cast = cast
        self.tally = Tally(cast.rule, book)
        self._index = RuleIndex(cast.rules)
        self._book = book
        self._world = _SimulatedWorld(cast, book, people)

    def candidates(self, event: StoredEvent, root: Root) -> list[CompiledRule]:
        """Return the rules that the event may fire, by all that it says itself."""
        of_type = self._index.of(event.type, is_internal=event.source == "internal")
        if of_type is None:
            return []
        return [rule for rule in of_type.candidates(root) if self._may_fire(rule, event, root)]

    def _may_fire(self, rule: CompiledRule, event: StoredEvent, root: Root) -> bool:
        if not was_in_dates(rule, event):
            self.tally.outside_dates += rule is self.cast.rule
            return False
        if not rule.is_static:
            return True
        if rule.needs:
            moment = event.occurred_at
            root = root_of(root, rule.needs, occurred_at=moment, zone=rule.zone, state={})
        return rule.condition.matches(root)

    def judge(
        self,
        event: StoredEvent,
        root: Root,
        rules: Sequence[CompiledRule],
        facts: PlayerFacts | None,
    ) -> None:
        """Let the rules judge the event in this world."""
        world, own = self._world, self.cast.rule
        world.player, world.facts = str(event.user_id), facts
        try:
            verdicts = judge(event, root, rules, facts, self._book, world, has_traces=False)
        except DomainError:
            # An amount that no wallet can hold: the consumer sets such an event aside.
            if own in rules:
                self.tally.add_failure()
            return
        for verdict in verdicts:
            if verdict.rule is own:
                self.tally.add(event, verdict, world.spent(own))


# --- All of it -----------------------------------------------------------------------------------


class _Work(NamedTuple):
    event: StoredEvent
    root: Root
    asked: list[tuple[_Side, list[CompiledRule]]]


class Simulation:
    """One or two versions over a period: feed it the events in the order of the log.

    ``definition`` is all that was chosen and configured, as a document: with the events and what
    is read of players it makes the hash of the input.
    """

    def __init__(
        self,
        casts: Sequence[Cast],
        book: Book,
        people: People,
        *,
        definition: Mapping[str, Any],
    ) -> None:
        self.events_read = self.history = 0
        self._sides = [_Side(cast, book, people) for cast in casts]
        self._people = people
        rules = [rule for cast in casts for rule in cast.rules]
        self._paths = [compile_reader(parse_path(path)) for path in reads_player(rules)]
        self._money = sorted(reads_money(rules))
        self._seen: set[str] = set()
        openings = [_lines_of(cast.opening) for cast in casts]
        self._input = sha256(hash_of([definition, openings]).encode())

    @property
    def tally(self) -> Tally:
        """Return what came of the first version."""
        return self._sides[0].tally

    def feed(self, events: Sequence[StoredEvent]) -> None:
        """Judge the next events of the log."""
        self.events_read += len(events)
        self.history += sum(event.source == "import" for event in events)
        self._input.update("".join(f"{event.id} {event.user_id}\n" for event in events).encode())
        work = [found for event in events if (found := self._work_of(event)) is not None]
        self._meet(sorted({str(each.event.user_id) for each in work}))
        for event, root, asked in work:
            facts = self._people.facts(str(event.user_id))
            for side, rules in asked:
                side.judge(event, root, rules, facts)

    def _work_of(self, event: StoredEvent) -> _Work | None:
        root = event.root
        asked = [(side, rules) for side in self._sides if (rules := side.candidates(event, root))]
        return _Work(event, root, asked) if asked else None

    def _meet(self, user_ids: Sequence[str]) -> None:
        """Read players, and take what decides anything of the new ones into the input's hash."""
        self._people.prepare(user_ids)
        for user_id in user_ids:
            if user_id not in self._seen:
                self._seen.add(user_id)
                known = self._known_of(user_id)
                if known is not None:
                    self._input.update(hash_of([user_id, known]).encode())

    def _known_of(self, user_id: str) -> Any:
        facts = self._people.facts(user_id)
        state = None
        if facts is not None:
            is_out = facts.is_blocked("rewards") or facts.is_opted_out
            root = {"player": facts.document}
            values = [_value(read, root) for read in self._paths]
            state = [is_out, *values] if is_out or values else None
        wallets = [self._people.wallet(user_id, currency_id) for currency_id in self._money]
        return [state, wallets] if state or any(any(wallet) for wallet in wallets) else None

    def report(self) -> dict[str, Any]:
        """Return all counts; ``diff`` is ``None`` for one version alone."""
        first, *others = [side.tally for side in self._sides]
        counts = {
            "events_read": self.events_read,
            **first.document(),
            "diff": difference(others[0], first) if others else None,
        }
        firings = [tally.digest() for tally in (first, *others)]
        return {
            **counts,
            "input_hash": self._input.hexdigest(),
            "result_hash": hash_of([counts, firings]),
        }


def _lines_of(opening: Opening) -> list[str]:
    uses = [
        f"{rule_id} {bucket} {user_id} {use.firings} {use.amount.normalize(EXACT):f}"
        for (rule_id, bucket), by_player in opening.uses.items()
        for user_id, use in by_player.items()
    ]
    spent = [
        f"{rule_id} {used.firings} {used.cost.normalize(EXACT):f}"
        for rule_id, used in opening.spent.items()
    ]
    return sorted([*uses, *spent])


def _value(read: Reader, root: Mapping[str, Any]) -> Any:
    value = read(root)
    return "" if value is ABSENT else [value]
