"""Boards: made, changed and given a status; each change is a version or a status change.

What a change does to the windows is in ``window_changes``. Everybody who changes a board holds its
row, so versions are numbered without gaps and an outdated ``expected_version`` is found out.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

from django.db import transaction

from leaderboards.exceptions import (
    BoardArchivedError,
    BoardExistsError,
    ConfigError,
    NeedsRecomputeError,
    VersionConflictError,
)
from leaderboards.models import BoardVersion, Leaderboard, StatusChange
from leaderboards.rules.boards import (
    BoardFields,
    differences,
    find_id_faults,
    find_value_faults,
    merge_board,
    read_board,
)
from leaderboards.rules.changes import ConfigChange, compare_configs, takes_effect
from leaderboards.rules.configuration import parse_config
from leaderboards.selectors import boards as selectors
from leaderboards.services import locks, rebuilds, window_changes, windows
from leaderboards.services.window_changes import HeldWindows
from leaderboards.types import BoardConfig, BoardStatus
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from phoenix_site.common.logging import get_logger
from tenants.models import Tenant
from tenants.services import audit
from tenants.types import Actor, AuditChange

log = get_logger(__name__)

_STATUSES: Final[tuple[BoardStatus, ...]] = get_args(BoardStatus)
_TICK: Final = timedelta(microseconds=1)
_END_PATH: Final = "timeframe.end_at"

Merge = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class BoardChange:
    """What a caller wants of a board: new fields, perhaps another status, and how.

    ``document`` makes the new fields of the present ones; ``recompute`` lets a change that would
    wait for the next window hold at once; ``expected_version`` refuses it if somebody was faster.
    """

    document: Merge
    status: BoardStatus | None = None
    recompute: bool = False
    expected_version: int | None = None


def create_board(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Leaderboard:
    """Make a board, active from now on, with version 1 and its first window.

    Raises: ``ConfigError`` with every fault, ``BoardExistsError``, ``NotFoundError`` without the
    tenant. Repeats: a second one with the id is refused, also at the same time.
    """
    fields = _read_new_board(document, tenant_id)
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFoundError("There is no such tenant.")
    with _uncommitted_versions() as uncommitted, transaction.atomic():
        board, is_new = Leaderboard.objects.get_or_create(
            tenant_id=tenant_id,
            leaderboard_id=document["leaderboard_id"],
            defaults=fields.document,
        )
        if not is_new:
            raise BoardExistsError(f"The board {board.leaderboard_id} exists already.")
        uncommitted.append((board.pk, 1))
        _add_version(board, fields, BoardVersion.Effect.AT_ONCE, actor=actor, now=now)
        StatusChange.objects.create(board=board, status=board.status, at=now, author=actor.label)
        windows.open_windows(board, fields.config, until=now, now=now)
        change = AuditChange(
            "leaderboard", str(board.pk), board.leaderboard_id, after=fields.document
        )
        audit.record(
            "leaderboard.created", actor=actor, now=now, tenant_id=tenant_id, change=change
        )
    log.info("leaderboard.created", board=board.pk.hex, tenant_id=tenant_id)
    return board


def replace_board(
    tenant_id: str, leaderboard_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Leaderboard:
    """Put ``document`` in the place of the board's fields; what it leaves out gets its default.

    See ``change_board``.
    """
    change = _read_change(document, tenant_id, leaderboard_id, lambda _present: document)
    return change_board(tenant_id, leaderboard_id, change, actor=actor, now=now)


def patch_board(
    tenant_id: str, leaderboard_id: str, patch: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Leaderboard:
    """Merge ``patch`` into the board's fields (RFC 7396). See ``change_board``."""
    change = _read_change(
        patch, tenant_id, leaderboard_id, lambda present: merge_board(present, patch)
    )
    return change_board(tenant_id, leaderboard_id, change, actor=actor, now=now)


def archive_board(
    tenant_id: str, leaderboard_id: str, *, actor: Actor, now: datetime
) -> Leaderboard:
    """Take the board out of use for ever. Repeats: harmless. Raises: ``NotFoundError``."""
    change = BoardChange(dict, status="archived")
    return change_board(tenant_id, leaderboard_id, change, actor=actor, now=now)


def change_board(
    tenant_id: str, leaderboard_id: str, change: BoardChange, *, actor: Actor, now: datetime
) -> Leaderboard:
    """Change the board's fields and status in one step and return it.

    When the fields differ, that is a version more. Parts that decide how a window scores hold at
    once while the open window has no entry, otherwise with the next window or, with ``recompute``,
    at once with the open window computed anew from the log.

    Raises: ``NotFoundError``, ``ConfigError``, ``VersionConflictError``, ``BoardArchivedError``,
    ``NeedsRecomputeError`` (a custom or endless window has entries) and what ``rebuild_window``
    does. Locks: all cursors of the scorer, the board, then its windows that have not ended.
    """
    started = time.monotonic()
    found = selectors.get_board(tenant_id, leaderboard_id)
    with _uncommitted_versions() as uncommitted, transaction.atomic():
        # First, as batches lock: then none is under way that was planned before the change.
        rebuilds.hold_scoring()
        board = locks.lock_board(found.pk)
        if change.expected_version not in (None, board.version):
            raise VersionConflictError(
                f"The board is at version {board.version}, not {change.expected_version}."
            )
        uncommitted.append((board.pk, board.version + 1))
        _change_fields(board, change, actor=actor, now=now)
        if change.status is not None and change.status != board.status:
            # Batches were waited for: what they have counted came in before this instant.
            _change_status(board, change.status, actor=actor, now=now, started=started)
    return board


# --- Fields --------------------------------------------------------------------------------------


def _change_fields(board: Leaderboard, change: BoardChange, *, actor: Actor, now: datetime) -> None:
    present = _present_fields(board)
    wanted = change.document(present)
    if wanted == present and not change.recompute:
        return
    if board.status == Leaderboard.Status.ARCHIVED:
        raise BoardArchivedError("The board is archived: nothing of it can be changed.")
    fields = read_board(wanted)
    old = parse_config(board.config)
    # Windows up to now belong to the present version, also if the clock's sweep is late.
    windows.open_windows(board, old, until=now, now=now)
    held = window_changes.hold_unended_windows(board, now=now)
    base = _scoring_config(board, held, old)
    compared = compare_configs(base, fields.config, now=now)
    if not differences(present, fields.document):
        # Nothing new, but a change that still waits for the next window may be wanted now.
        if not (change.recompute and compared.next_window):
            return
        effect = BoardVersion.Effect.RECOMPUTE
    else:
        effect = _effect_of(base, fields.config, held, recompute=change.recompute, now=now)
        _save_fields(board, fields)
        _add_version(board, fields, effect, actor=actor, now=now)
        _record_difference(board, present, fields.document, actor=actor, now=now)
    _change_windows(board, fields.config, held, compared, effect=effect, now=now)


def _scoring_config(board: Leaderboard, held: HeldWindows, newest: BoardConfig) -> BoardConfig:
    """Return what scores the open window: an older config while a change waits for the next one.

    Custom and endless windows have no next one, so for them it is always the newest.
    """
    if held.current is None:
        return newest
    scored_by = selectors.config_of_version(board.pk, held.current.version_number)
    return newest if scored_by.timeframe.type in ("custom", "all_time") else scored_by


def _effect_of(
    old: BoardConfig, new: BoardConfig, held: HeldWindows, *, recompute: bool, now: datetime
) -> BoardVersion.Effect:
    answer = takes_effect(old, new, now=now, has_entries=held.has_entries, recompute=recompute)
    if answer == "needs_recompute":
        raise NeedsRecomputeError(
            "The window has entries and no next one: send effective recompute to compute it anew."
        )
    if answer == "rebuild":
        return BoardVersion.Effect.RECOMPUTE
    return BoardVersion.Effect(answer)


def _change_windows(
    board: Leaderboard,
    config: BoardConfig,
    held: HeldWindows,
    compared: ConfigChange,
    *,
    effect: BoardVersion.Effect,
    now: datetime,
) -> None:
    waits = effect == BoardVersion.Effect.NEXT_WINDOW
    is_scoring = bool(compared.next_window)
    includes_current = is_scoring and not waits
    if any(path.startswith("timeframe.") for path in compared.next_window):
        stale = window_changes.reframe_windows(
            board, config, held, includes_current=includes_current, now=now
        )
    else:
        stale = window_changes.renumber_windows(board, held, includes_current=includes_current)
        if _END_PATH in compared.at_once:
            stale += window_changes.move_end(board, config, held, now=now)
    for window in stale:
        rebuilds.rebuild_window(window)


def _present_fields(board: Leaderboard) -> dict[str, Any]:
    return {
        "name": board.name,
        "description": board.description,
        "reward_config_id": board.reward_config_id,
        "config": board.config,
    }


def _save_fields(board: Leaderboard, fields: BoardFields) -> None:
    document = fields.document
    for name, value in document.items():
        setattr(board, name, value)
    board.version += 1
    board.save(update_fields=[*document, "version", "updated_at"])


def _add_version(
    board: Leaderboard,
    fields: BoardFields,
    effect: BoardVersion.Effect,
    *,
    actor: Actor,
    now: datetime,
) -> None:
    BoardVersion.objects.create(
        board=board,
        version=board.version,
        document=fields.document,
        effect=effect,
        author=actor.label,
        created_at=now,
    )


@contextmanager
def _uncommitted_versions() -> Iterator[list[tuple[UUID, int]]]:
    """Forget the configs of versions that were not committed: their numbers are given again."""
    versions: list[tuple[UUID, int]] = []
    try:
        yield versions
    except BaseException:
        selectors.forget_versions(versions)
        raise


# --- Status --------------------------------------------------------------------------------------


def _change_status(
    board: Leaderboard, status: BoardStatus, *, actor: Actor, now: datetime, started: float
) -> None:
    if board.status == Leaderboard.Status.ARCHIVED:
        raise BoardArchivedError("The board is archived: that is final.")
    window_changes.note_status_change(board)
    before, board.status = board.status, Leaderboard.Status(status)
    board.save(update_fields=["status", "updated_at"])
    if board.status == Leaderboard.Status.ARCHIVED:
        window_changes.void_windows(board, now=now)
    at = _instant_of_change(board, now=now, started=started)
    StatusChange.objects.create(board=board, status=status, at=at, author=actor.label)
    change = AuditChange(
        "leaderboard", str(board.pk), board.leaderboard_id, {"status": before}, {"status": status}
    )
    audit.record(
        "leaderboard.status_changed",
        actor=actor,
        now=now,
        tenant_id=board.tenant_id,
        change=change,
    )
    log.info("leaderboard.status_changed", board=board.pk.hex, status=status)


def _instant_of_change(board: Leaderboard, *, now: datetime, started: float) -> datetime:
    """Return an instant after everything that batches have counted under the old status.

    They were waited for since ``started``, so what they counted was received before. Changes of
    one board never share an instant.
    """
    waited = timedelta(seconds=time.monotonic() - started)
    latest = StatusChange.objects.filter(board=board).latest("at").at
    return max(now + waited, latest + _TICK)


# --- Reading requests ----------------------------------------------------------------------------


def _read_new_board(document: Mapping[str, Any], tenant_id: str) -> BoardFields:
    _refuse(find_value_faults(document))
    faults = find_id_faults(document) + _find_tenant_faults(document, tenant_id)
    if document.get("status") not in (None, Leaderboard.Status.ACTIVE):
        faults.append(Fault("status", "a new board is active"))
    return read_board(document, known=faults)


def _read_change(
    document: Mapping[str, Any], tenant_id: str, leaderboard_id: str, merge: Merge
) -> BoardChange:
    _refuse(find_value_faults(document))
    faults = _find_tenant_faults(document, tenant_id)
    if document.get("leaderboard_id") not in (None, leaderboard_id):
        faults.append(Fault("leaderboard_id", "cannot be changed"))
    status, effective = document.get("status"), document.get("effective")
    if status is not None and status not in _STATUSES:
        faults.append(Fault("status", f"must be one of {', '.join(_STATUSES)}"))
    if effective not in (None, "recompute"):
        faults.append(Fault("effective", "must be recompute, or left out"))
    expected = document.get("expected_version")
    if expected is not None and type(expected) is not int:
        faults.append(Fault("expected_version", "must be a whole number"))
    _refuse(faults)
    return BoardChange(merge, status, effective == "recompute", expected)


def _find_tenant_faults(document: Mapping[str, Any], tenant_id: str) -> list[Fault]:
    if document.get("tenant_id") in (None, tenant_id):
        return []
    return [Fault("tenant_id", "is not the tenant of the path")]


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise ConfigError(faults)


# --- Audit ---------------------------------------------------------------------------------------


def _record_difference(
    board: Leaderboard,
    present: Mapping[str, Any],
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> None:
    changed = differences(present, document)
    change = AuditChange(
        "leaderboard",
        str(board.pk),
        board.leaderboard_id,
        {each.path: each.before for each in changed},
        {each.path: each.after for each in changed},
    )
    audit.record(
        "leaderboard.changed", actor=actor, now=now, tenant_id=board.tenant_id, change=change
    )
    log.info("leaderboard.changed", board=board.pk.hex, version=board.version)
