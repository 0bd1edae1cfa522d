"""What backtests read: the state at their beginning, players as they are today, the group."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection

from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.times import parse_rfc3339
from players.selectors import external_ids, facts_for
from players.types import PlayerFacts
from rewards.models import Firing, Rule, RuleVersion
from rewards.models.jobs import Job
from rewards.rules.periods import buckets_of
from rewards.selectors import rules as rule_selectors
from rewards.types.backtests import Cast, Opening, OpeningWallet
from rewards.types.book import Book
from rewards.types.rules import CompiledRule, Spent, Use

__all__ = [
    "APPLY_PAST",
    "BACKTEST",
    "TodaysPeople",
    "backtest_line",
    "backtests_of",
    "cast_of",
    "fired_rules",
    "get_backtest",
]

# Kinds of jobs.
BACKTEST: Final = "backtest"
APPLY_PAST: Final = "rule_apply_past"

# So many players are known at a time; they are read again when they come back later.
_MAX_KNOWN: Final = 100_000
_NO_WALLET: Final = OpeningWallet()
_FIRED: Final = ("event_row", "rule_id", "version")

_USES_BEFORE: Final = """
SELECT firing.player_id, period.bucket, count(*), sum((
    SELECT coalesce(sum((effect ->> 'amount')::numeric), 0)
    FROM jsonb_array_elements(firing.effects) AS effect WHERE effect ->> 'type' = 'credit'
))
FROM rewards_firing AS firing
CROSS JOIN LATERAL (SELECT firing.occurred_at AT TIME ZONE %(zone)s) AS moment (at)
CROSS JOIN LATERAL (VALUES
    ('total'),
    ('d:' || to_char(moment.at, 'YYYY-MM-DD')),
    ('w:' || to_char(date_trunc('week', moment.at), 'YYYY-MM-DD'))
) AS period (bucket)
WHERE firing.rule_id = %(rule)s AND firing.occurred_at < %(since)s
  AND period.bucket = ANY (%(buckets)s)
GROUP BY firing.player_id, period.bucket
"""
_SPENT_BEFORE: Final = """
SELECT count(*), coalesce(sum(cost), 0) FROM rewards_firing
WHERE rule_id = %(rule)s AND occurred_at < %(since)s
"""
_WALLETS_BEFORE: Final = """
SELECT account.player_id, account.currency_id, sum(posting.amount),
    coalesce(sum(posting.amount) FILTER (
        WHERE coalesce(origin.kind, entry.kind) IN ('credit', 'prize')
    ), 0)
FROM rewards_account AS account
JOIN rewards_posting AS posting ON posting.account_id = account.id
JOIN rewards_ledgertransaction AS entry ON entry.id = posting.transaction_id
LEFT JOIN rewards_ledgertransaction AS origin ON origin.id = entry.reverses_id
WHERE account.player_id = ANY (%(players)s) AND account.kind = 'wallet'
  AND account.currency_id = ANY (%(currencies)s) AND posting.created_at < %(since)s
GROUP BY account.player_id, account.currency_id
"""


def get_backtest(tenant_id: str, backtest_id: UUID) -> Job:
    """Return a backtest of the tenant. Raises: ``NotFoundError``. Queries: 1."""
    job = Job.objects.filter(tenant=tenant_id, kind=BACKTEST, pk=backtest_id).first()
    if job is None:
        raise NotFoundError("There is no such backtest.")
    return job


def backtests_of(rule: Rule, *, limit: int = 50) -> list[Job]:
    """Return the newest backtests of a rule and what was applied of them. Queries: 1."""
    found = Job.objects.filter(tenant=rule.tenant_id, kind__in=(BACKTEST, APPLY_PAST))
    return list(found.filter(parameters__rule_id=rule.rule_id).order_by("-created_at")[:limit])


def backtest_line(job: Job) -> dict[str, Any]:
    """Return what a list of backtests and their applications shows of one; times are aware.

    ``result`` is the report or, of an application, its counts; ``None`` until there is one.
    """
    asked = job.parameters
    period = asked if job.kind == BACKTEST else asked["backtest"]
    return {
        "job_id": job.pk,
        "kind": job.kind,
        "status": job.status,
        "progress": float(job.progress),
        "author": job.author,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "version": asked["version"],
        "compare_to": period["compare_to"],
        "from": parse_rfc3339(period["from"]),
        "to": parse_rfc3339(period["to"]),
        "start": period["start"],
        "backtest_id": job.pk if job.kind == BACKTEST else UUID(asked["backtest_id"]),
        "result": job.result or None,
        "error": job.error,
    }


def fired_rules(event_rows: Collection[int], rule: CompiledRule) -> dict[int, frozenset[UUID]]:
    """Return for which events the rule fired, or another one against which it may lose.

    That is, any version of any rule that was in its group when it fired. Queries: 1, or 2.
    """
    rows = list(Firing.objects.filter(event_row__in=list(event_rows)).values_list(*_FIRED))
    others = {(pk, version) for _, pk, version in rows if pk != rule.pk}
    rivals = _rivals(rule, others)
    found: dict[int, frozenset[UUID]] = {}
    for row, pk, version in rows:
        if pk == rule.pk or (pk, version) in rivals:
            found[row] = found.get(row, frozenset()) | {pk}
    return found


def _rivals(
    rule: CompiledRule, versions: Collection[tuple[UUID, int]]
) -> frozenset[tuple[UUID, int]]:
    """Return those of the versions of other rules that are of the rule's group."""
    if not versions or rule.group is None or rule.group.mode == "all":
        return frozenset()
    rows = RuleVersion.objects.filter(
        rule_id__in={pk for pk, _ in versions}, document__group__name=rule.group.name
    )
    return frozenset(rows.values_list("rule_id", "number"))


def cast_of(
    rule: Rule, version: int, book: Book, *, now: datetime, since: datetime | None = None
) -> Cast:
    """Return a version of the rule with the rules of its group that are active at ``now``.

    In a group in which all fire nobody is in anybody's way, so there the rule is alone. With
    ``since`` they begin with what firings of events before it left them, else with nothing.

    Raises: ``NotFoundError`` without that version. Queries: 1 and those of the book's rules; with
    ``since`` at most 2 for each rule, and 1.
    """
    compiled = _alone(rule_selectors.compiled_version(rule, version))
    cast = Cast(compiled, _mates(compiled, book, now))
    return cast if since is None else replace(cast, opening=_opening(cast.rules, since))


def _mates(rule: CompiledRule, book: Book, now: datetime) -> tuple[CompiledRule, ...]:
    group = rule.group
    if group is None or group.mode == "all":
        return ()
    return tuple(
        _alone(each)
        for each in rule_selectors.of(book).at(now).rules
        if each.pk != rule.pk and each.group is not None and each.group.name == group.name
    )


def _alone(rule: CompiledRule) -> CompiledRule:
    """Return the rule without the counting that other versions of it would need."""
    return replace(rule, also_tracked=())


def _opening(rules: Iterable[CompiledRule], since: datetime) -> Opening:
    counted: dict[tuple[str, str], dict[UUID, Use]] = {}
    spent: dict[str, Spent] = {}
    for rule in rules:
        for player_id, bucket, firings, amount in _uses_before(rule, since):
            counted.setdefault((rule.rule_id, bucket), {})[player_id] = Use(firings, amount)
        if rule.budget:
            [(firings, cost)] = _rows(_SPENT_BEFORE, {"rule": rule.pk, "since": since})
            spent[rule.rule_id] = Spent(firings, cost)
    names = external_ids({player for by_player in counted.values() for player in by_player})
    uses = {
        key: {names[player]: use for player, use in by_player.items()}
        for key, by_player in counted.items()
    }
    return Opening(uses, spent)


def _uses_before(rule: CompiledRule, since: datetime) -> list[tuple[Any, ...]]:
    # Only the periods that an event of later can still fall into.
    buckets = buckets_of(rule.tracked, since, rule.zone)
    if not buckets:
        return []
    values = {"rule": rule.pk, "zone": rule.timezone, "since": since, "buckets": buckets}
    return _rows(_USES_BEFORE, values)


def _rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


class TodaysPeople:
    """Players of one tenant, read set-wise: facts as of ``now``, wallets as they were.

    Facts are kept of those only who are kept from rewards, unless ``keeps_documents``: conditions
    read them. Wallets are those before ``since``, or empty without it.
    """

    def __init__(
        self,
        tenant_id: str,
        *,
        now: datetime,
        keeps_documents: bool,
        currencies: Collection[tuple[str, UUID]] = (),
        since: datetime | None = None,
    ) -> None:
        self._tenant_id = tenant_id
        self._now = now
        self._keeps_documents = keeps_documents
        self._names = {pk: currency_id for currency_id, pk in currencies}
        self._since = since
        self._facts: dict[str, PlayerFacts | None] = {}
        self._wallets: dict[tuple[str, str], OpeningWallet] = {}

    def prepare(self, user_ids: Sequence[str]) -> None:
        """Read what is not known of these players. Queries: at most 5."""
        if len(self._facts) > _MAX_KNOWN:
            self._facts.clear()
            self._wallets.clear()
        missing = [user_id for user_id in user_ids if user_id not in self._facts]
        found = facts_for([(self._tenant_id, user_id) for user_id in missing], now=self._now)
        for user_id in missing:
            self._facts[user_id] = self._kept(found.get((self._tenant_id, user_id)))
        if self._since is not None and self._names:
            self._read_wallets(list(found.values()), self._since)

    def _kept(self, facts: PlayerFacts | None) -> PlayerFacts | None:
        if facts is None or self._keeps_documents:
            return facts
        return facts if facts.is_blocked("rewards") or facts.is_opted_out else None

    def _read_wallets(self, players: Sequence[PlayerFacts], since: datetime) -> None:
        names = {facts.player_id: facts.external_id for facts in players}
        values = {"players": list(names), "currencies": list(self._names), "since": since}
        for player_id, currency_pk, available, lifetime in _rows(_WALLETS_BEFORE, values):
            wallet = OpeningWallet(Decimal(available), Decimal(lifetime))
            self._wallets[names[player_id], self._names[currency_pk]] = wallet

    def facts(self, user_id: str) -> PlayerFacts | None:
        """Return the facts, ``None`` of players of whom nothing is in the way or known."""
        return self._facts[user_id]

    def wallet(self, user_id: str, currency_id: str) -> OpeningWallet:
        """Return the wallet at the beginning."""
        return self._wallets.get((user_id, currency_id), _NO_WALLET)
