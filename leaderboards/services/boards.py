"""Boards: made, changed and given a status; each change is a version or a status change.

What a change does to the windows is in ``window_changes``. Everybody who changes a board holds its
row, so versions are numbered without gaps and an outdated ``expected_version`` is found out.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
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
from leaderboards.models import BoardVersion, Leaderboard, StatusChange, Window
from leaderboards.rules.boards import (
    BoardFields,
    find_id_faults,
    find_value_faults,
    merge_board,
    read_board,
)
from leaderboards.rules.changes import compare_configs, takes_effect
from leaderboards.rules.configuration import parse_config
from leaderboards.selectors import boards as selectors
from leaderboards.selectors import shown
from leaderboards.selectors.boards import VersionId
from leaderboards.services import locks, rebuilds, window_changes, windows
from leaderboards.services.window_changes import HeldWindows, Transition
from leaderboards.types import BoardConfig, BoardStatus
from phoenix_site.common.commits import after_commit
from phoenix_site.common.differences import differences
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from phoenix_site.common.logging import get_logger
from rewards.selectors import items as rewards
from tenants.models import Tenant
from tenants.services import audit
from tenants.types import Actor, AuditChange

log = get_logger(__name__)

_STATUSES: Final[tuple[BoardStatus, ...]] = get_args(BoardStatus)
_TICK: Final = timedelta(microseconds=1)

Merge = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class BoardChange:
    """What a caller wants of a board: new fields, perhaps another status, and how.

    ``document`` makes the new fields of the present ones; ``recompute`` lets a change that would
    wait for the next window hold at once; ``expected_version`` refuses it if somebody was faster;
    ``reason`` is for the audit log.
    """

    document: Merge
    status: BoardStatus | None = None
    recompute: bool = False
    expected_version: int | None = None
    reason: str = ""


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
    with _new_versions() as announce, transaction.atomic():
        board, is_new = Leaderboard.objects.get_or_create(
            tenant_id=tenant_id,
            leaderboard_id=document["leaderboard_id"],
            defaults=fields.document,
        )
        if not is_new:
            raise BoardExistsError(f"The board {board.leaderboard_id} exists already.")
        announce((board.pk, 1))
        _add_version(board, fields, BoardVersion.Effect.AT_ONCE, actor=actor, now=now)
        StatusChange.objects.create(board=board, status=board.status, at=now, author=actor.label)
        windows.open_windows(board, fields.config, until=now, now=now)
        _record("leaderboard.created", board, (None, fields.document), actor=actor, now=now)
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
    at = _Instant(now, started=time.monotonic())
    found = selectors.get_board(tenant_id, leaderboard_id)
    try:
        # A batch must not see an event from after a change of status without seeing the change.
        is_held = change.status is not None or _may_rebuild(found, change, now)
        return _change_board(found.pk, change, is_held=is_held, actor=actor, at=at)
    except _ScoringNotHeldError:
        return _change_board(found.pk, change, is_held=True, actor=actor, at=at)


class _ScoringNotHeldError(Exception):
    """A window must be computed anew, for which scoring has to be held before any other lock."""


def _change_board(
    board_id: UUID, change: BoardChange, *, is_held: bool, actor: Actor, at: "_Instant"
) -> Leaderboard:
    with _new_versions() as announce, transaction.atomic():
        if is_held:
            rebuilds.hold_scoring()
        board = locks.lock_board(board_id)
        if change.expected_version not in (None, board.version):
            raise VersionConflictError(
                f"The board is at version {board.version}, not {change.expected_version}."
            )
        announce((board.pk, board.version + 1))
        # Readers of this process see the change with its answer, others a moment later.
        after_commit(shown.forget_shown)
        stale = _change_fields(board, change, actor=actor, now=at.now)
        if stale and not is_held:
            raise _ScoringNotHeldError
        for window in stale:
            rebuilds.rebuild_window(window)
        if change.status is not None and change.status != board.status:
            _change_status(board, change.status, reason=change.reason, actor=actor, at=at)
    return board


def _may_rebuild(board: Leaderboard, change: BoardChange, now: datetime) -> bool:
    """Whether windows will probably have to be computed anew; looks without a lock."""
    present = _present_fields(board)
    wanted = change.document(present)
    if change.recompute:
        return True
    if wanted == present or board.status == Leaderboard.Status.ARCHIVED:
        return False
    compared = compare_configs(parse_config(board.config), read_board(wanted).config, now=now)
    return bool(compared.next_window) or window_changes.END_PATH in compared.at_once


# --- Fields --------------------------------------------------------------------------------------


def _change_fields(
    board: Leaderboard, change: BoardChange, *, actor: Actor, now: datetime
) -> list[Window]:
    """Change the fields that differ and return the windows that must be computed anew."""
    present = _present_fields(board)
    wanted = change.document(present)
    if wanted == present and not change.recompute:
        return []
    if board.status == Leaderboard.Status.ARCHIVED:
        raise BoardArchivedError("The board is archived: nothing of it can be changed.")
    fields = read_board(wanted, known=_find_reward_faults(wanted, board.tenant_id, present))
    old = parse_config(board.config)
    # Windows up to now belong to the present version, also if the clock's sweep is late.
    windows.open_windows(board, old, until=now, now=now)
    held = window_changes.hold_unended_windows(board, now=now)
    base = _scoring_config(board, held, old)
    compared = compare_configs(base, fields.config, now=now)
    effect = _effect_of(base, fields.config, held, recompute=change.recompute, now=now)
    if differences(present, fields.document):
        _save_fields(board, fields)
        _add_version(board, fields, effect, actor=actor, now=now)
        _record_difference(board, present, change=change, actor=actor, now=now)
    elif not (change.recompute and compared.next_window):
        # Nothing new, nor is a change wanted now that was to wait for the next window.
        return []
    transition = Transition(
        fields.config,
        from_newest=compare_configs(old, fields.config, now=now),
        from_current=compared,
        waits=effect == BoardVersion.Effect.NEXT_WINDOW,
    )
    return window_changes.change_windows(board, transition, held, now=now)


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
def _new_versions() -> Iterator[Callable[[VersionId], None]]:
    """Say which versions are new here: nobody keeps their configs before they are committed."""
    versions: list[VersionId] = []

    def announce(version: VersionId) -> None:
        versions.append(version)
        selectors.hold_back(version)
        transaction.on_commit(partial(selectors.keep_again, version))

    try:
        yield announce
    except BaseException:
        for version in versions:
            selectors.keep_again(version)
        raise


# --- Status --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Instant:
    """When a change was asked for, and the monotonic clock when its work began."""

    now: datetime
    started: float


def _change_status(
    board: Leaderboard, status: BoardStatus, *, reason: str, actor: Actor, at: _Instant
) -> None:
    if board.status == Leaderboard.Status.ARCHIVED:
        raise BoardArchivedError("The board is archived: that is final.")
    # It waits for batches: what they have counted came in before the instant below.
    window_changes.note_status_change(board)
    before, board.status = board.status, Leaderboard.Status(status)
    board.save(update_fields=["status", "updated_at"])
    if board.status == Leaderboard.Status.ARCHIVED:
        window_changes.void_windows(board, now=at.now)
    StatusChange.objects.create(
        board=board, status=board.status, at=_instant_of_change(board, at), author=actor.label
    )
    sides = ({"status": before}, {"status": board.status})
    action = "leaderboard.status_changed"
    _record(action, board, sides, reason=reason, actor=actor, now=at.now)
    log.info(action, board=board.pk.hex, status=board.status)


def _instant_of_change(board: Leaderboard, at: _Instant) -> datetime:
    """Return an instant after everything that batches have counted under the old status.

    Changes of one board never share an instant.
    """
    waited = timedelta(seconds=time.monotonic() - at.started)
    latest = StatusChange.objects.filter(board=board).latest("at").at
    return max(at.now + waited, latest + _TICK)


# --- Reading requests ----------------------------------------------------------------------------


def _read_new_board(document: Mapping[str, Any], tenant_id: str) -> BoardFields:
    _refuse(find_value_faults(document))
    faults = find_id_faults(document) + _find_tenant_faults(document, tenant_id)
    faults += _find_reward_faults(document, tenant_id)
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


def _find_reward_faults(
    document: Mapping[str, Any], tenant_id: str, present: Mapping[str, Any] | None = None
) -> list[Fault]:
    """Return why the board cannot be paid by the reward config that it names anew (03/GRT-3)."""
    named = document.get("reward_config_id")
    if not isinstance(named, str) or (present and named == present["reward_config_id"]):
        return []
    message = rewards.find_board_config_fault(tenant_id, named)
    return [] if message is None else [Fault("reward_config_id", message)]


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise ConfigError(faults)


# --- Audit ---------------------------------------------------------------------------------------


Sides = tuple[Mapping[str, Any] | None, Mapping[str, Any]]


def _record_difference(
    board: Leaderboard,
    before: Mapping[str, Any],
    *,
    change: BoardChange,
    actor: Actor,
    now: datetime,
) -> None:
    changed = differences(before, _present_fields(board))
    sides = (
        {each.path: each.before for each in changed},
        {each.path: each.after for each in changed},
    )
    _record("leaderboard.changed", board, sides, reason=change.reason, actor=actor, now=now)
    log.info("leaderboard.changed", board=board.pk.hex, version=board.version)


def _record(
    action: str,
    board: Leaderboard,
    sides: Sides,
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> None:
    change = AuditChange("leaderboard", str(board.pk), board.leaderboard_id, *sides)
    audit.record(
        action, actor=actor, now=now, tenant_id=board.tenant_id, change=change, reason=reason
    )
