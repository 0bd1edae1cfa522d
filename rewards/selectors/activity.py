"""What happens in rewards now, for the front page: bounded counts, kept for some seconds."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Count, QuerySet

from rewards.models import Firing, Grant, Proof, Refusal, Rule
from rewards.models.jobs import Job

__all__ = ["BOUND", "RewardsActivity", "rewards_activity"]

CACHE_SECONDS: Final = 5
# Counting stops here, so that a look costs the same however much is given.
BOUND: Final = 20_000
_OPEN_JOBS: Final = (Job.Status.QUEUED, Job.Status.RUNNING)


@dataclass(frozen=True, slots=True)
class RewardsActivity:
    """Counts of the tenants asked for, as of ``as_of``; none goes beyond ``BOUND``.

    ``rules`` counts by status; ``refusals`` are of today by reason; ``failed_grants`` are among
    the newest grants. ``proved_at`` is the end of the oldest of the tenants' last proofs.
    """

    as_of: datetime
    rules: Mapping[str, int]
    firings_in_minute: int
    firings_today: int
    refusals: Mapping[str, int]
    open_jobs: int
    failed_grants: int
    proved_at: datetime | None
    differences: int


def rewards_activity(tenant_ids: frozenset[str] | None, *, now: datetime) -> RewardsActivity:
    """Return what happens at these tenants, ``None`` meaning all; at most 5 s old. Queries: 7.

    Today is the day of UTC, so that tenants of several zones can be added up.
    """
    names = "*" if tenant_ids is None else "|".join(sorted(tenant_ids))
    key = f"phoenix.rewards.activity.{hashlib.sha256(names.encode()).hexdigest()}"
    found: RewardsActivity | None = cache.get(key)
    if found is None:
        found = _count(tenant_ids, now)
        cache.set(key, found, CACHE_SECONDS)
    return found


def _count(tenant_ids: frozenset[str] | None, now: datetime) -> RewardsActivity:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rules = _of(Rule.objects.all(), tenant_ids)
    keys = list(rules.exclude(status=Rule.Status.DRAFT).values_list("pk", flat=True))
    firings = Firing.objects.filter(rule_id__in=keys)
    proofs = _last_proofs(tenant_ids)
    return RewardsActivity(
        as_of=now,
        rules=dict(rules.values_list("status").annotate(Count("pk")).order_by()),
        firings_in_minute=_bounded(firings.filter(fired_at__gte=now - timedelta(minutes=1))),
        firings_today=_bounded(firings.filter(fired_at__gte=midnight)),
        refusals=_refusals(keys, midnight),
        open_jobs=_of(Job.objects.filter(status__in=_OPEN_JOBS), tenant_ids).count(),
        failed_grants=_failed_grants(tenant_ids),
        proved_at=min((proof.finished_at for proof in proofs), default=None),
        differences=sum(proof.difference_count for proof in proofs),
    )


def _of(rows: QuerySet[Any], tenant_ids: frozenset[str] | None) -> QuerySet[Any]:
    return rows if tenant_ids is None else rows.filter(tenant_id__in=tenant_ids)


def _bounded(rows: QuerySet[Any]) -> int:
    return rows.order_by()[:BOUND].count()


def _refusals(rules: list[Any], since: datetime) -> dict[str, int]:
    newest = Refusal.objects.filter(rule_id__in=rules, refused_at__gte=since).order_by()
    counted: dict[str, int] = {}
    for reason in newest.values_list("reason", flat=True)[:BOUND]:
        counted[reason] = counted.get(reason, 0) + 1
    return dict(sorted(counted.items(), key=lambda each: -each[1]))


def _failed_grants(tenant_ids: frozenset[str] | None) -> int:
    newest = _of(Grant.objects.all(), tenant_ids)
    # Keys grow with time; of some tenants the index that has the tenant is shorter.
    newest = newest.order_by("-pk" if tenant_ids is None else "-created_at")[:BOUND]
    return Grant.objects.filter(pk__in=newest.values("pk"), status=Grant.Status.FAILED).count()


def _last_proofs(tenant_ids: frozenset[str] | None) -> list[Proof]:
    last = _of(Proof.objects.all(), tenant_ids).order_by("tenant_id", "-number")
    return list(last.distinct("tenant_id").defer("counts", "differences"))
