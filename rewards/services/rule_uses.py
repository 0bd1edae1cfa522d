"""Uses and budgets of rules: what limits count, read and raised as sets.

Rows of uses change under the lock of their player, budgets under their own.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final
from uuid import UUID

from phoenix_site.common.arrays import BigintArray, IntegerArray, TextArray, UuidArray
from rewards.services.statements import run
from rewards.types.rules import CompiledRule, Spent, Use

__all__ = [
    "UseKey",
    "lock_budgets",
    "read_uses",
    "recount",
    "write_budgets",
    "write_uses",
]

# Rule, player, bucket.
UseKey = tuple[UUID, UUID, str]

_READ: Final = """
SELECT used.rule_id, used.player_id, used.bucket, used.firings, used.amount
FROM unnest(%(rules)b, %(players)b, %(buckets)b) AS wanted (rule_id, player_id, bucket)
JOIN rewards_ruleuse AS used USING (player_id, rule_id, bucket)
"""
_WRITE: Final = """
INSERT INTO rewards_ruleuse (rule_id, player_id, bucket, firings, amount)
SELECT rule_id, player_id, bucket, firings, amount::numeric
FROM unnest(%(rules)b, %(players)b, %(buckets)b, %(firings)b, %(amounts)b)
    AS new (rule_id, player_id, bucket, firings, amount)
ON CONFLICT (player_id, rule_id, bucket) DO UPDATE
SET firings = excluded.firings, amount = excluded.amount
"""
_HAVE_ROOM: Final = """
SELECT rule_id FROM rewards_rulebudget AS budget
JOIN unnest(%(rules)b, %(firings)b, %(costs)b) AS wanted (rule_id, firings, cost) USING (rule_id)
WHERE (wanted.firings = 0 OR budget.firings < wanted.firings)
  AND (wanted.cost = '' OR budget.cost < nullif(wanted.cost, '')::numeric)
ORDER BY rule_id
"""
_LOCK_BUDGETS: Final = """
SELECT rule_id, firings, cost FROM rewards_rulebudget
WHERE rule_id = ANY (%(rules)b) ORDER BY rule_id FOR NO KEY UPDATE
"""
_READ_BUDGETS: Final = """
SELECT rule_id, firings, cost FROM rewards_rulebudget WHERE rule_id = ANY (%(rules)b)
"""
_WRITE_BUDGETS: Final = """
UPDATE rewards_rulebudget AS budget SET firings = new.firings, cost = new.cost::numeric
FROM unnest(%(rules)b, %(firings)b, %(costs)b) AS new (rule_id, firings, cost)
WHERE budget.rule_id = new.rule_id
"""
# Dates as the rule's zone shows them, weeks by their Monday.
_RECOUNT: Final = """
INSERT INTO rewards_ruleuse (rule_id, player_id, bucket, firings, amount)
SELECT %(rule)s, player_id, bucket, count(*), sum(credited)
FROM (
    SELECT firing.player_id, period.bucket, (
        SELECT coalesce(sum((effect ->> 'amount')::numeric), 0)
        FROM jsonb_array_elements(firing.effects) AS effect
        WHERE effect ->> 'type' = 'credit'
    ) AS credited
    FROM rewards_firing AS firing
    CROSS JOIN LATERAL (SELECT firing.occurred_at AT TIME ZONE %(zone)s) AS moment (at)
    CROSS JOIN LATERAL (VALUES
        ('total', 'total'),
        ('day', 'd:' || to_char(moment.at, 'YYYY-MM-DD')),
        ('week', 'w:' || to_char(date_trunc('week', moment.at), 'YYYY-MM-DD'))
    ) AS period (name, bucket)
    WHERE firing.rule_id = %(rule)s AND period.name = ANY (%(periods)s)
) AS used
GROUP BY player_id, bucket
ON CONFLICT (player_id, rule_id, bucket) DO UPDATE
SET firings = excluded.firings, amount = excluded.amount
"""
_FORGET: Final = """
DELETE FROM rewards_ruleuse WHERE rule_id = %(rule)s AND player_id IN (
    SELECT player_id FROM rewards_firing WHERE rule_id = %(rule)s
)
"""


def read_uses(keys: Collection[UseKey]) -> dict[UseKey, Use]:
    """Return the uses that exist. Queries: 1, or 0 for none."""
    if not keys:
        return {}
    rules, players, buckets = zip(*keys, strict=True)
    parameters = {
        "rules": UuidArray(rules),
        "players": UuidArray(players),
        "buckets": TextArray(buckets),
    }
    rows = run(_READ, parameters)
    return {
        (rule, player, bucket): Use(firings, amount)
        for rule, player, bucket, firings, amount in rows
    }


def write_uses(uses: Mapping[UseKey, Use]) -> None:
    """Store what the uses are now; the players are locked. Queries: 1, or 0 for none."""
    if not uses:
        return
    rows = sorted(uses.items())
    run(
        _WRITE,
        {
            "rules": UuidArray(rule for (rule, _, _), _ in rows),
            "players": UuidArray(player for (_, player, _), _ in rows),
            "buckets": TextArray(bucket for (_, _, bucket), _ in rows),
            "firings": IntegerArray(use.firings for _, use in rows),
            "amounts": TextArray(str(use.amount) for _, use in rows),
        },
    )


def lock_budgets(rules: Iterable[CompiledRule]) -> dict[UUID, Spent]:
    """Lock the budgets that have room and return what is used of all of them.

    One that is used up by these versions can only be raised by a new one, for which the consumer
    stops, so nobody has to wait for it. Locks: budgets in the order of rules, until the
    transaction ends. Queries: 3, or 0 for none.
    """
    wanted = sorted({rule for rule in rules if rule.budget}, key=lambda rule: rule.pk)
    if not wanted:
        return {}
    sizes = {
        "rules": UuidArray(rule.pk for rule in wanted),
        "firings": BigintArray(rule.budget.firings or 0 for rule in wanted),
        "costs": TextArray(str(rule.budget.cost or "") for rule in wanted),
    }
    with_room = [pk for (pk,) in run(_HAVE_ROOM, sizes)]
    locked = run(_LOCK_BUDGETS, {"rules": UuidArray(with_room)}) if with_room else []
    full = {rule.pk for rule in wanted} - set(with_room)
    # What is locked is read again under the lock; the others cannot come to have room.
    others = run(_READ_BUDGETS, {"rules": UuidArray(sorted(full))}) if full else []
    return {pk: Spent(firings, cost) for pk, firings, cost in [*locked, *others]}


def write_budgets(spent: Mapping[UUID, Spent]) -> None:
    """Store what is used of budgets that are locked. Queries: 1, or 0 for none."""
    if not spent:
        return
    rows = sorted(spent.items())
    run(
        _WRITE_BUDGETS,
        {
            "rules": UuidArray(rule for rule, _ in rows),
            "firings": BigintArray(each.firings for _, each in rows),
            "costs": TextArray(str(each.cost) for _, each in rows),
        },
    )


def recount(rule: CompiledRule, periods: Collection[str], *, is_new_zone: bool) -> None:
    """Count the rule's firings anew for these periods, in its zone; the consumer stands still.

    With ``is_new_zone`` what was counted in another zone is forgotten first. Queries: 1 or 2.
    """
    if is_new_zone:
        run(_FORGET, {"rule": rule.pk})
    if periods:
        run(_RECOUNT, {"rule": rule.pk, "zone": rule.timezone, "periods": sorted(periods)})
