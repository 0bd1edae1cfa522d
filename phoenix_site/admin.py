"""The admin's front page: what happens now, per tenant and in all, each number with its age.

Looking costs the same on a large installation: counts come from tallies, from the rank index and
from counting that stops at a bound. Staff see their tenants; figures of the whole installation,
which would tell how much others send, are for superusers.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.core.cache import cache
from django.db.models import Count, Max, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from ingestion import selectors as ingestion
from ingestion.models import Cursor, QuarantineEntry
from ingestion.services import readiness
from ingestion.types import ShardLag
from leaderboards.models import Leaderboard, Window
from leaderboards.selectors import activity
from phoenix_site.common import tallies
from phoenix_site.common.http import json_response
from phoenix_site.common.redis import RedisError, get_redis
from phoenix_site.common.times import format_utc
from phoenix_site.reward_tiles import reward_tiles
from phoenix_site.tiles import seconds_text, tile
from rewards.selectors.proofs import last_proofs
from tenants.models import AuditEntry
from tenants.selectors.snapshots import member_tenant_ids

CHART_SECONDS: Final = 1800
RATE_SECONDS: Final = 60
CACHE_SECONDS: Final = 1
LISTED_ROWS: Final = 10
LISTED_CHANGES: Final = 6
# Windows looked at to find the busiest of them.
CONSIDERED_WINDOWS: Final = 100
# Counting the lag of a shard stops here.
LAG_BOUND: Final = 5_000
LAG_WARNING_SECONDS: Final = 5
HEARTBEAT_WARNING: Final = timedelta(seconds=30)
LATE_WINDOW: Final = timedelta(minutes=1)
# A proof is made every night; this is a night that was missed.
LEDGER_HOURS: Final = 30
ACCEPTED: Final = "events.accepted"
DUPLICATE: Final = "events.duplicate"
REFUSED: Final = "error."

admin.site.index_title = "Overview"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose numbers are shown; ``tenant_ids`` is ``None`` for a superuser, who sees all."""

    tenant_ids: frozenset[str] | None
    sees_audit: bool = False
    sees_rewards: bool = False

    @property
    def is_all(self) -> bool:
        return self.tenant_ids is None

    @property
    def cache_key(self) -> str:
        names = "*" if self.tenant_ids is None else "|".join(sorted(self.tenant_ids))
        digest = hashlib.sha256(f"{names}{self.sees_audit}{self.sees_rewards}".encode()).hexdigest()
        return f"phoenix.dashboard.{digest}"

    def of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the tenants in scope."""
        return rows if self.tenant_ids is None else rows.filter(tenant_id__in=self.tenant_ids)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What Redis knows: the tallies by step (the last one still counted) and the workers' sign."""

    steps: Sequence[tallies.TallyStep]
    round_trip_ms: float
    heartbeat: datetime | None


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard to the index page's context (named in the setting ``UNFOLD``)."""
    context["dashboard"] = dashboard_of(request)
    context["dashboard_url"] = reverse("dashboard-data")
    return context


@staff_member_required
def dashboard_data(request: HttpRequest) -> HttpResponse:
    """Answer the page's own refresh."""
    return json_response(dashboard_of(request), headers={"Cache-Control": "no-store"})


def dashboard_of(request: HttpRequest) -> dict[str, Any]:
    """Return the dashboard of the signed-in person, at most ``CACHE_SECONDS`` old."""
    user: Any = request.user
    tenant_ids = None if user.is_superuser else member_tenant_ids(user.pk)
    scope = Scope(
        tenant_ids,
        sees_audit=user.has_perm("tenants.view_auditentry"),
        sees_rewards=user.has_perm("rewards.view_rule"),
    )
    found: dict[str, Any] | None = cache.get(scope.cache_key)
    if found is None:
        found = build_dashboard(scope, now=timezone.now())
        cache.set(scope.cache_key, found, CACHE_SECONDS)
    # The time of the answer lets a browser with a wrong clock show the right age.
    return found | {"sent_at": format_utc(timezone.now())}


def build_dashboard(scope: Scope, *, now: datetime) -> dict[str, Any]:
    """Return every number of the page. Queries: 18 at most, however much there is to see."""
    pulse = _pulse(scope)
    lag = ingestion.consumer_lag(bound=LAG_BOUND)
    quarantined = _quarantined(scope)
    late_windows = scope.of(_unclosed()).filter(due_at__lt=now - LATE_WINDOW).count()
    return {
        "as_of": format_utc(now),
        "tiles": [
            _rate_tile(pulse, now),
            _refused_tile(pulse),
            _lag_tile(lag, scope),
            _boards_tile(scope),
            _quarantine_tile(quarantined),
        ],
        "health": [*_health(pulse, late_windows, now), _ledger_fact(scope, now)],
        "chart": _chart(pulse),
        "boards": _boards(scope, now),
        "consumers": _consumers(lag, scope),
        "errors": _errors(pulse, quarantined),
        "changes": _changes(scope),
        "rewards": reward_tiles(scope.tenant_ids, now) if scope.sees_rewards else None,
    }


# --- What Redis knows ----------------------------------------------------------------------------


def _pulse(scope: Scope) -> Pulse | None:
    began = time.perf_counter()
    try:
        get_redis().ping()
        round_trip_ms = (time.perf_counter() - began) * 1000
        steps = tallies.recent(
            CHART_SECONDS, now=time.time(), tenant_ids=scope.tenant_ids, with_running=True
        )
        return Pulse(steps, round_trip_ms, readiness.worker_heartbeat())
    except (RedisError, OSError):
        return None


def _counted(step: tallies.TallyStep, is_wanted: Callable[[str], bool]) -> int:
    return sum(count for (_tenant, name), count in step.counts.items() if is_wanted(name))


def _accepted_in(step: tallies.TallyStep) -> int:
    return _counted(step, ACCEPTED.__eq__)


def _refused_in(step: tallies.TallyStep) -> int:
    return _counted(step, lambda name: name.startswith(REFUSED))


def _chart(pulse: Pulse | None) -> dict[str, Any] | None:
    if pulse is None:
        return None
    # The step that is still counted would always look like a drop.
    finished = pulse.steps[:-1]
    return {
        "step_seconds": tallies.STEP_SECONDS,
        "began_at": finished[0].began_at,
        "accepted": [_accepted_in(step) for step in finished],
        "refused": [_refused_in(step) for step in finished],
    }


# --- Tiles ---------------------------------------------------------------------------------------


def _rate_tile(pulse: Pulse | None, now: datetime) -> dict[str, str]:
    url = reverse("admin:ingestion_event_changelist")
    if pulse is None:
        return tile("Events", "-", tone="warn", hint="Redis is away: not counted", url=url)
    recent = pulse.steps[-1 - RATE_SECONDS // tallies.STEP_SECONDS :]
    seconds = max(1.0, now.timestamp() - recent[0].began_at)
    rate = sum(map(_accepted_in, recent)) / seconds
    text = f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"
    return tile("Events", text, unit="per second", hint="Accepted in the last minute", url=url)


def _refused_tile(pulse: Pulse | None) -> dict[str, str]:
    if pulse is None:
        return tile("Refused", "-", tone="warn", hint="Redis is away: not counted")
    refused = sum(map(_refused_in, pulse.steps))
    accepted = sum(map(_accepted_in, pulse.steps))
    share = f", {100 * refused / (refused + accepted):.1f} %" if refused else ""
    tone = "warn" if refused else "good"
    return tile("Refused", f"{refused:,}", tone=tone, hint=f"Last half hour{share}")


def _lag_tile(lag: Sequence[ShardLag], scope: Scope) -> dict[str, str]:
    seconds = max((row.seconds for row in lag), default=0.0)
    tone = "good" if seconds < LAG_WARNING_SECONDS else "bad"
    counts = Counter[str]()
    for row in lag:
        counts[row.consumer] += row.events
    if not counts.total():
        hint = "Every consumer is up to date"
    elif scope.is_all:
        # An event waits for each consumer: a sum over them would count it many times.
        [(slowest, _)] = counts.most_common(1)
        waiting = _waiting(row for row in lag if row.consumer == slowest)
        hint = f"{waiting} events wait for {slowest}"
    else:
        hint = "Events wait for their consumers"
    return tile("Processing delay", seconds_text(seconds), tone=tone, hint=hint)


def _waiting(lag: Iterable[ShardLag]) -> str:
    rows = list(lag)
    is_more = any(row.events >= LAG_BOUND for row in rows)
    return f"{sum(row.events for row in rows):,}{'+' if is_more else ''}"


def _boards_tile(scope: Scope) -> dict[str, str]:
    boards = scope.of(Leaderboard.objects.all())
    counts = dict(boards.values_list("status").annotate(Count("pk")).order_by())
    url = reverse("admin:leaderboards_leaderboard_changelist")
    inactive = counts.get("inactive", 0)
    hint = f"{inactive:,} inactive" if inactive else "Scored right now"
    return tile("Active boards", f"{counts.get('active', 0):,}", hint=hint, url=url)


def _quarantine_tile(quarantined: Sequence[dict[str, Any]]) -> dict[str, str]:
    count = sum(row["count"] for row in quarantined)
    return tile(
        "In quarantine",
        f"{count:,}",
        tone="bad" if count else "good",
        hint="Events that could not be counted" if count else "Every event could be counted",
        url=reverse("admin:ingestion_quarantineentry_changelist"),
    )


# --- Health --------------------------------------------------------------------------------------


def _health(pulse: Pulse | None, late_windows: int, now: datetime) -> list[dict[str, str]]:
    is_late = late_windows > 0
    return [
        # This page is made from it.
        _fact("PostgreSQL", "connected", "good"),
        _fact("Redis", f"{pulse.round_trip_ms:.1f} ms", "good")
        if pulse
        else _fact("Redis", "away", "bad"),
        _worker_fact(pulse, now),
        _fact(
            "Windows",
            f"{late_windows} late" if is_late else "closing on time",
            "bad" if is_late else "good",
        ),
    ]


def _ledger_fact(scope: Scope, now: datetime) -> dict[str, str]:
    """Say whether the last proof of every tenant's ledger found what is stored to be right."""
    last = last_proofs(scope.tenant_ids)
    failed = [proof for proof in last if proof.difference_count]
    if failed:
        names = ", ".join(proof.tenant_id for proof in failed[:3])
        return _fact("Ledger", f"differences at {names}", "bad")
    if not last:
        return _fact("Ledger", "not proven yet", "good")
    oldest = min(proof.started_at for proof in last)
    hours = int((now - oldest).total_seconds() // 3600)
    return _fact("Ledger", f"proven {hours} h ago", "good" if hours < LEDGER_HOURS else "warn")


def _fact(label: str, text: str, tone: str) -> dict[str, str]:
    return {"label": label, "text": text, "tone": tone}


def _worker_fact(pulse: Pulse | None, now: datetime) -> dict[str, str]:
    if pulse is None:
        return _fact("Workers", "unknown", "warn")
    if pulse.heartbeat is None:
        return _fact("Workers", "no sign of life", "bad")
    age = now - pulse.heartbeat
    seconds = max(0, int(age.total_seconds()))
    return _fact("Workers", f"seen {seconds} s ago", "good" if age < HEARTBEAT_WARNING else "bad")


# --- Tables --------------------------------------------------------------------------------------


def _unclosed() -> QuerySet[Window]:
    return Window.objects.filter(state__in=[Window.State.OPEN, Window.State.CLOSING])


def _boards(scope: Scope, now: datetime) -> list[list[Any]]:
    """Return windows that are scored: late ones first, then the busiest."""
    begun = scope.of(_unclosed()).filter(starts_at__lte=now).select_related("board")
    windows = list(begun.defer("board__config").order_by("-starts_at")[:CONSIDERED_WINDOWS])
    counts = activity.player_counts(windows)
    windows.sort(key=lambda window: (not _is_late(window, now), -counts[window.pk].count))
    shown = windows[:LISTED_ROWS]
    late = activity.late_counts(window.pk for window in shown)
    return [_board_row(window, counts[window.pk], late[window.pk], now) for window in shown]


def _is_late(window: Window, now: datetime) -> bool:
    return window.due_at is not None and window.due_at + LATE_WINDOW < now


def _board_row(
    window: Window, players: activity.BoundedCount, late: activity.BoundedCount, now: datetime
) -> list[Any]:
    is_late = _is_late(window, now)
    state = Window.State(window.state_at(now))
    tone = "bad" if is_late else "good" if state == Window.State.OPEN else "warn"
    board_url = reverse("admin:leaderboards_leaderboard_change", args=[window.board_id])
    standings_url = reverse("admin:leaderboards_window_standings", args=[window.pk])
    return [
        {"text": window.board.name, "url": board_url},
        window.tenant_id,
        {"text": window.key, "url": standings_url},
        {"text": "Late" if is_late else str(state.label), "tone": tone},
        "never" if window.ends_at is None else _span(window.ends_at - now),
        {"text": str(players), "is_number": True},
        {"text": str(late), "is_number": True},
    ]


def _span(left: timedelta) -> str:
    seconds = int(left.total_seconds())
    if seconds <= 0:
        return "ended"
    days, rest = divmod(seconds, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    return f"in {days} d {hours} h" if days else f"in {hours} h {minutes:02} min"


def _consumers(lag: Sequence[ShardLag], scope: Scope) -> list[dict[str, Any]]:
    processed = _processed() if scope.is_all else {}
    names = sorted({row.consumer for row in lag})
    return [
        _consumer(name, [row for row in lag if row.consumer == name], processed, scope)
        for name in names
    ]


def _consumer(
    name: str, lag: Sequence[ShardLag], processed: dict[str, int], scope: Scope
) -> dict[str, Any]:
    seconds = max(row.seconds for row in lag)
    facts = [["Oldest event waits", seconds_text(seconds)]]
    if scope.is_all:
        facts.append(["Events waiting", _waiting(lag)])
        facts.append(["Processed in all", f"{processed.get(name, 0):,}"])
    tone = "good" if seconds < LAG_WARNING_SECONDS else "bad"
    return {"name": name, "tone": tone, "facts": facts}


def _processed() -> dict[str, int]:
    totals = Cursor.objects.values_list("consumer").annotate(Sum("processed_count"))
    return dict(totals.order_by())


def _quarantined(scope: Scope) -> list[dict[str, Any]]:
    entries = scope.of(QuarantineEntry.objects.filter(state=QuarantineEntry.State.OPEN))
    groups = entries.values("tenant_id", "consumer", "code")
    return list(groups.annotate(count=Count("id"), last=Max("last_failed_at")).order_by("-count"))


def _errors(pulse: Pulse | None, quarantined: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Return what failed, grouped by cause: quarantine until it is empty, refusals for a while."""
    counts: Counter[tuple[str, str]] = Counter()
    last_seen: dict[tuple[str, str], int] = {}
    for step in pulse.steps if pulse else ():
        for group, count in step.counts.items():
            if group[1].startswith(REFUSED):
                counts[group] += count
                last_seen[group] = step.began_at
    refusals = [
        _error_row(
            f"Refused: {name.removeprefix(REFUSED)}",
            tenant,
            count,
            datetime.fromtimestamp(last_seen[(tenant, name)], UTC),
        )
        for (tenant, name), count in counts.most_common(LISTED_ROWS)
    ]
    return [_quarantine_row(row) for row in quarantined[:LISTED_ROWS]] + refusals


def _quarantine_row(row: dict[str, Any]) -> list[Any]:
    text = f"{row['consumer']}: {row['code']}"
    url = f"{reverse('admin:ingestion_quarantineentry_changelist')}?state__exact=open"
    return _error_row(text, row["tenant_id"], row["count"], row["last"], url=url)


def _error_row(text: str, tenant: str, count: int, last: datetime, url: str = "") -> list[Any]:
    cause = {"text": text, "url": url} if url else text
    return [cause, tenant, {"text": f"{count:,}", "is_number": True}, {"at": format_utc(last)}]


def _changes(scope: Scope) -> list[dict[str, str]] | None:
    """Return what staff and keys did last, ``None`` for those who may not see it."""
    if not scope.sees_audit:
        return None
    latest = scope.of(AuditEntry.objects.order_by("-at"))[:LISTED_CHANGES]
    return [
        {
            "what": entry.action.replace(".", " ").replace("_", " "),
            "about": entry.object_label or entry.object_id,
            "who": entry.actor_label or entry.actor_kind,
            "at": format_utc(entry.at),
            "url": reverse("admin:tenants_auditentry_change", args=[entry.pk]),
        }
        for entry in latest
    ]
