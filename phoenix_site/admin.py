"""The admin's front page: what happens now, per tenant and in all, each number with its age."""

import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.core.cache import cache
from django.db.models import Count, Max, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from ingestion import selectors as ingestion
from ingestion.models import Cursor, QuarantineEntry
from leaderboards.models import Leaderboard, Window
from phoenix_site.common import tallies
from phoenix_site.common.http import json_response
from phoenix_site.common.redis import RedisError
from phoenix_site.common.times import format_utc
from tenants.selectors.snapshots import member_tenant_ids

CHART_SECONDS = 1800
RATE_SECONDS = 60
CACHE_SECONDS = 1
LISTED_ROWS = 12
LAG_WARNING_SECONDS = 5


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard to the index page's context (named in the setting ``UNFOLD``)."""
    context["dashboard"] = dashboard_of(request)
    context["dashboard_url"] = reverse("dashboard-data")
    return context


@staff_member_required
def dashboard_data(request: HttpRequest) -> HttpResponse:
    """Answer the page's own refresh."""
    return json_response(dashboard_of(request))


def dashboard_of(request: HttpRequest) -> dict[str, Any]:
    """Return the dashboard of the signed-in person, at most ``CACHE_SECONDS`` old."""
    tenant_ids = _visible_tenants(request)
    scope = "all" if tenant_ids is None else ",".join(sorted(tenant_ids))
    name = f"phoenix.dashboard.{scope}"
    found: dict[str, Any] | None = cache.get(name)
    if found is None:
        found = _dashboard(tenant_ids, now=timezone.now())
        cache.set(name, found, CACHE_SECONDS)
    return found


def _visible_tenants(request: HttpRequest) -> frozenset[str] | None:
    user = request.user
    if user.is_superuser:  # type: ignore[union-attr]
        return None
    return member_tenant_ids(user.pk)  # type: ignore[arg-type]


def _dashboard(tenant_ids: frozenset[str] | None, *, now: datetime) -> dict[str, Any]:
    steps = _steps(tenant_ids)
    boards = _boards(tenant_ids, now)
    lag = ingestion.consumer_lag()
    quarantined = _quarantined(tenant_ids)
    accepted = _series(steps, "events.accepted")
    return {
        "as_of": format_utc(now),
        "tiles": [
            _rate_tile(accepted),
            _refused_tile(steps),
            _lag_tile(lag),
            _tile("Active boards", f"{_active_boards(tenant_ids):,}"),
            _tile(
                "In quarantine",
                f"{sum(row['count'] for row in quarantined):,}",
                tone="bad" if quarantined else "good",
                hint="Events a consumer could not process",
            ),
        ],
        "chart": {"step_seconds": tallies.STEP_SECONDS, "accepted": accepted},
        "boards": boards,
        "consumers": _consumers(lag),
        "errors": _errors(steps, quarantined),
    }


def _tile(
    label: str, value: str, *, unit: str = "", tone: str = "", hint: str = ""
) -> dict[str, str]:
    return {"label": label, "value": value, "unit": unit, "tone": tone, "hint": hint}


def _steps(tenant_ids: frozenset[str] | None) -> list[tallies.TallyStep]:
    try:
        return tallies.recent(CHART_SECONDS, now=time.time(), tenant_ids=tenant_ids)
    except RedisError:
        return []


def _series(steps: Iterable[tallies.TallyStep], name: str) -> list[int]:
    return [
        sum(count for (_tenant, known), count in step.counts.items() if known == name)
        for step in steps
    ]


def _rate_tile(accepted: list[int]) -> dict[str, str]:
    recent = accepted[-RATE_SECONDS // tallies.STEP_SECONDS :]
    rate = sum(recent) / RATE_SECONDS
    text = f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"
    return _tile("Events", text, unit="per second", hint="Accepted, average of the last minute")


def _refused_tile(steps: list[tallies.TallyStep]) -> dict[str, str]:
    refused = sum(
        count
        for step in steps
        for (_tenant, name), count in step.counts.items()
        if name.startswith("error.")
    )
    return _tile(
        "Refused", f"{refused:,}", tone="warn" if refused else "", hint="In the last half hour"
    )


def _lag_tile(lag: Iterable[Any]) -> dict[str, str]:
    rows = list(lag)
    events = sum(row.events for row in rows)
    seconds = max((row.seconds for row in rows), default=0.0)
    tone = "good" if seconds < LAG_WARNING_SECONDS else "bad"
    hint = f"Oldest waiting {seconds:.1f} s" if events else "Every consumer is up to date"
    return _tile("Consumers behind", f"{events:,}", unit="events", tone=tone, hint=hint)


def _active_boards(tenant_ids: frozenset[str] | None) -> int:
    boards = Leaderboard.objects.filter(status=Leaderboard.Status.ACTIVE)
    return (boards if tenant_ids is None else boards.filter(tenant_id__in=tenant_ids)).count()


def _boards(tenant_ids: frozenset[str] | None, now: datetime) -> list[list[Any]]:
    windows = Window.objects.filter(state__in=[Window.State.OPEN, Window.State.CLOSING])
    if tenant_ids is not None:
        windows = windows.filter(tenant_id__in=tenant_ids)
    listed = windows.select_related("board").annotate(players=Count("entries"))
    return [_board_row(window, now) for window in listed.order_by("-starts_at")[:LISTED_ROWS]]


def _board_row(window: Window, now: datetime) -> list[Any]:
    is_late = window.due_at is not None and window.due_at + timedelta(minutes=1) < now
    state = {"text": window.get_state_display(), "tone": "bad" if is_late else "good"}
    return [
        {
            "text": window.board.name,
            "url": reverse("admin:leaderboards_leaderboard_change", args=[window.board_id]),
        },
        window.tenant_id,
        window.key,
        state,
        "never" if window.ends_at is None else _span(window.ends_at - now),
        f"{window.players:,}",  # type: ignore[attr-defined]
        f"{window.late_count:,}",
    ]


def _span(left: timedelta) -> str:
    seconds = int(left.total_seconds())
    if seconds <= 0:
        return "ended"
    days, rest = divmod(seconds, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    return f"in {days} d {hours} h" if days else f"in {hours} h {minutes:02} min"


def _consumers(lag: Iterable[Any]) -> list[list[Any]]:
    events: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for row in lag:
        events[row.consumer] += row.events
        seconds[row.consumer] = max(seconds.get(row.consumer, 0.0), row.seconds)
    totals = Cursor.objects.values("consumer").annotate(total=Sum("processed_count"))
    processed = {row["consumer"]: row["total"] for row in totals}
    return [
        [
            {"text": name, "tone": "good" if seconds[name] < LAG_WARNING_SECONDS else "bad"},
            f"{events[name]:,}",
            f"{seconds[name]:.1f} s" if events[name] else "-",
            f"{processed.get(name, 0):,}",
        ]
        for name in sorted(seconds)
    ]


def _quarantined(tenant_ids: frozenset[str] | None) -> list[dict[str, Any]]:
    entries = QuarantineEntry.objects.filter(state=QuarantineEntry.State.OPEN)
    if tenant_ids is not None:
        entries = entries.filter(tenant_id__in=tenant_ids)
    groups = entries.values("tenant_id", "consumer", "code")
    return list(groups.annotate(count=Count("id"), last=Max("last_failed_at")).order_by("-count"))


def _errors(
    steps: Iterable[tallies.TallyStep], quarantined: Iterable[dict[str, Any]]
) -> list[list[Any]]:
    counts: Counter[tuple[str, str]] = Counter()
    last_seen: dict[tuple[str, str], int] = {}
    for step in steps:
        for group, count in step.counts.items():
            if group[1].startswith("error."):
                counts[group] += count
                last_seen[group] = step.began_at
    rows = [
        [name.removeprefix("error."), tenant, f"{count:,}", _clock(last_seen[(tenant, name)])]
        for (tenant, name), count in counts.most_common(LISTED_ROWS)
    ]
    queue = reverse("admin:ingestion_quarantineentry_changelist")
    return [
        [
            {"text": f"{row['consumer']}: {row['code']}", "url": queue},
            row["tenant_id"],
            f"{row['count']:,}",
            f"{row['last']:%H:%M:%S} UTC",
        ]
        for row in quarantined
    ] + rows


def _clock(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"
