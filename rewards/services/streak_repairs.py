"""Repairs: windows that staff let count as satisfied, and take back again (STR-10)."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import Detail, InvalidInputError, NotFoundError
from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger
from phoenix_site.common.periods import WEEKDAYS
from phoenix_site.common.times import parse_rfc3339
from phoenix_site.common.zones import load_zone
from players.services.registration import ensure_players
from rewards.exceptions import StateConflictError
from rewards.models import Streak, StreakRepair
from rewards.rules.streak_windows import WindowPlan
from rewards.rules.streaks import StreakRun, WindowRow
from rewards.selectors import streaks as selectors
from rewards.services.pipe import settling
from rewards.services.settlement import Settlement
from rewards.services.streaks import PlayerRun, StreakDesk
from rewards.types.causes import Cause
from rewards.types.streaks import PLAYER_ZONE, WindowRule
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["repair", "reverse_repair"]

log = get_logger(__name__)

_REASON_LENGTH: Final = 500
_MARGIN: Final = timedelta(days=2)
# A key names a local time; the clock may have jumped around it.
_OFFSETS: Final = tuple(timedelta(minutes=m) for m in (0, 30, 60, 90, 120, 180, -60, -120, 720))


@transaction.atomic
def repair(
    streak: Streak,
    user_id: str,
    windows: Sequence[str],
    *,
    reason: str,
    actor: Actor,
    now: datetime,
) -> StreakRepair | None:
    """Let windows of a player's streak count as satisfied; audited, and shown in the history.

    ``windows`` are keys (``2026-03-08``, ``2026-W10``, ``2026-03``, ``2026-03-08T14``) or times
    that lie in them. Milestones that the run reaches by it are given, none of them twice.

    Raises: ``InvalidInputError`` naming each window that there is not or that lies ahead;
    ``StateConflictError`` for an archived streak. Repeats: windows that count already stay as
    they are; without any other there is no repair, and ``None``. Locks: the player.
    """
    if streak.status == Streak.Status.ARCHIVED:
        raise StateConflictError("The streak is archived.")
    key = (streak.tenant_id, user_id)
    player_id = ensure_players([key], now=now)[key]
    with settling([player_id], now=now) as settlement:
        held = _open(settlement, streak, player_id, windows)
        row = StreakRepair(
            id=uuid7(),
            player_streak_id=held.id,
            windows=[],
            reason=reason[:_REASON_LENGTH],
            actor=actor.label[:255],
            created_at=now,
        )
        _fill(settlement, held, row, windows)
        if row.windows:
            row.save(force_insert=True)
    if not row.windows:
        return None
    _record("repaired", streak, row, user_id, actor=actor, reason=reason, now=now)
    return row


@transaction.atomic
def reverse_repair(
    tenant_id: str, repair_id: UUID, *, reason: str, actor: Actor, now: datetime
) -> StreakRepair:
    """Take a repair back: its windows are again what they were, unless events satisfied them.

    What was given for milestones stays. Raises: ``NotFoundError``, ``StateConflictError`` for one
    that was taken back before. Locks: the player, then the repair.
    """
    found = StreakRepair.objects.select_related("player_streak__streak", "player_streak__player")
    first = found.filter(pk=repair_id, player_streak__streak__tenant_id=tenant_id).first()
    if first is None:
        raise NotFoundError("There is no such repair.")
    player_streak = first.player_streak
    with settling([player_streak.player_id], now=now) as settlement:
        row = StreakRepair.objects.select_for_update().get(pk=repair_id)
        if row.reversed_at is not None:
            raise StateConflictError("The repair was taken back already.")
        times = [window["starts_at"] for window in row.windows]
        held = _open(settlement, player_streak.streak, player_streak.player_id, times)
        _take_back(held.run, row)
        _settle(settlement, held, row, actor=actor.label, reason=reason)
        row.reversed_at, row.reversed_by = now, actor.label[:255]
        row.reverse_reason = reason[:_REASON_LENGTH]
        row.save(update_fields=["reversed_at", "reversed_by", "reverse_reason"])
    user_id = player_streak.player.external_id
    _record(
        "repair_reversed", player_streak.streak, row, user_id, actor=actor, reason=reason, now=now
    )
    return row


def _open(
    settlement: Settlement, streak: Streak, player_id: UUID, windows: Sequence[str]
) -> PlayerRun:
    """Return the player's run with every window from the first named one on."""
    view = selectors.of(settlement.book(streak.tenant_id)).by_id[streak.pk]
    plan = view.plan_for(settlement.facts[player_id])
    named = [at for name in windows if (at := _nominal(plan, name, settlement.now)) is not None]
    since = min([settlement.now, *named]) - _MARGIN
    return settlement.part(StreakDesk).state(player_id, view, since=since)


def _fill(
    settlement: Settlement, held: PlayerRun, repair_row: StreakRepair, windows: Sequence[str]
) -> None:
    now, run = settlement.now, held.run
    faults: list[Detail] = []
    run.settle(now)
    order = sorted(enumerate(windows), key=lambda one: str(_nominal(run.plan, one[1], now)))
    for index, name in order:
        row = _named(run, name, now)
        if row is None or row.starts_at > now:
            message = "is no window of the streak" if row is None else "has not begun"
            faults.append(Detail(f"windows.{index}", message))
        elif not row.is_satisfied:
            repair_row.windows.append(_before(row))
            row.repair_id, row.is_changed = repair_row.pk, True
            run.attach(row)
            _settle(settlement, held, repair_row, actor=repair_row.actor, reason=repair_row.reason)
    if faults:
        raise InvalidInputError(f"{faults[0].field} {faults[0].message}.", details=faults)


def _before(row: WindowRow) -> dict[str, object]:
    return {
        "key": row.key,
        "starts_at": row.starts_at.isoformat().replace("+00:00", "Z"),
        "state": row.state,
        "lost": row.lost,
    }


def _take_back(run: StreakRun, repair_row: StreakRepair) -> None:
    before = {window["starts_at"]: window for window in repair_row.windows}
    for row in run.rows:
        if row.repair_id == repair_row.pk:
            row.repair_id, row.is_changed = None, True
            if row.satisfied_at is None:
                row.state = before[str(_before(row)["starts_at"])]["state"]


def _settle(
    settlement: Settlement, held: PlayerRun, row: StreakRepair, *, actor: str, reason: str
) -> None:
    cause = Cause(
        tenant_id=held.view.tenant_id,
        source_type="streak",
        source_id=str(held.view.pk),
        kind="staff",
        id=f"repair:{row.pk}",
        actor=actor,
        reason=reason,
    )
    held.is_changed = True
    settlement.part(StreakDesk).settle(held, settlement.now, cause)


def _record(
    word: str,
    streak: Streak,
    row: StreakRepair,
    user_id: str,
    *,
    actor: Actor,
    reason: str,
    now: datetime,
) -> None:
    after = {"user_id": user_id, "windows": [window["key"] for window in row.windows]}
    audit.record(
        f"streak.{word}",
        actor=actor,
        now=now,
        tenant_id=streak.tenant_id,
        change=AuditChange("streak", str(streak.pk), streak.name, None, after),
        reason=reason,
    )
    log.info("streak.repair", what=word, streak=streak.pk.hex, repair=str(row.pk))


# --- Windows by their names ----------------------------------------------------------------------


def _named(run: StreakRun, name: str, now: datetime) -> WindowRow | None:
    """Return the window of that key, or the one that holds the time; ``None``: there is none."""
    nominal = _nominal(run.plan, name, now)
    if nominal is None:
        return None
    if _as_time(name) is not None:
        return run.find(nominal)
    found = (run.find(nominal + offset) for offset in _OFFSETS)
    return next((row for row in found if row.key == name), None)


def _nominal(plan: WindowPlan, name: str, now: datetime) -> datetime | None:
    """Return about when the window of that name begins."""
    at = _as_time(name)
    if at is not None or not isinstance(name, str):
        return at
    for _, rule in reversed(plan.rules):
        try:
            local = _local_start(rule, name.partition("~")[0])
        except ValueError:
            continue
        zone = rule.timezone
        if zone == PLAYER_ZONE:
            zone = plan.zone_at(min(local.replace(tzinfo=load_zone("UTC")), now))
        return local.replace(tzinfo=load_zone(zone)).astimezone(load_zone("UTC"))
    return None


def _as_time(name: object) -> datetime | None:
    try:
        return parse_rfc3339(name) if isinstance(name, str) else None
    except ValueError:
        return None


def _local_start(rule: WindowRule, key: str) -> datetime:
    """Return the local time at which a window of that key begins. Raises: ``ValueError``."""
    if rule.period == "hourly":
        return datetime.strptime(key, "%Y-%m-%dT%H")  # noqa: DTZ007 - local on purpose
    reset = rule.reset_time or time()
    if rule.period == "daily":
        day = date.fromisoformat(key)
    elif rule.period == "weekly":
        weekday = WEEKDAYS.index(str(rule.reset_day or "monday")) + 1
        year, _, week = key.partition("-W")
        day = date.fromisocalendar(int(year), int(week), weekday)
    elif rule.period == "monthly":
        day = date.fromisoformat(f"{key}-{int(rule.reset_day or 1):02}")
    else:
        raise ValueError("rolling windows have no local time")
    return datetime.combine(day, reset)
