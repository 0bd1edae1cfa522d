"""Boards as the scorer, the gateways and the services read them.

Configs never change once they have a version, so each process compiles a version once.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, Q, QuerySet

from leaderboards.constants import MAX_KEPT_CONFIGS
from leaderboards.models import BoardVersion, Leaderboard, StatusChange, Window
from leaderboards.rules.configuration import parse_config
from leaderboards.rules.scoring import CompiledBoard, compile_board
from leaderboards.selectors.shown import check_board_id, nothing_here
from leaderboards.selectors.standings import board_view
from leaderboards.types import BoardConfig, BoardView, Listing

__all__ = [
    "ScoringBoard",
    "boards_across_tenants",
    "boards_for_scoring",
    "compiled_board",
    "config_of_version",
    "get_board",
    "hold_back",
    "keep_again",
    "view_of",
]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
VersionId = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class StatusHistory:
    """From each of ``times`` on (oldest first) the board was active, or was not."""

    times: tuple[datetime, ...]
    active: tuple[bool, ...]

    def was_active(self, instant: datetime) -> bool:
        """Return whether the board was active at ``instant``."""
        index = bisect_right(self.times, instant) - 1
        return index >= 0 and self.active[index]


@dataclass(frozen=True, slots=True)
class ScoringBoard:
    """All that scoring needs of a board: its status over time, windows and compiled configs.

    ``windows`` are those whose entries may still change, oldest first; the configs are those
    of these windows' versions and of the newest one.
    """

    id: UUID
    tenant_id: str
    leaderboard_id: str
    newest_version: int
    statuses: StatusHistory
    windows: tuple[Window, ...]
    compiled: dict[int, CompiledBoard]

    def was_active(self, instant: datetime) -> bool:
        """Return whether an event received at ``instant`` may count."""
        return self.statuses.was_active(instant)

    def window_at(self, instant: datetime) -> Window | None:
        """Return the window that holds ``instant``; ``None`` also when it is not made yet."""
        index = bisect_right(self.windows, instant, key=lambda window: window.starts_at) - 1
        if index < 0:
            return None
        window = self.windows[index]
        return window if window.ends_at is None or instant < window.ends_at else None


class _Kept(Generic[Key, Value]):
    """The values used last, at most ``MAX_KEPT_CONFIGS``."""

    def __init__(self) -> None:
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def find(self, key: Key) -> Value | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: Key, value: Value) -> None:
        self._values[key] = value
        if len(self._values) > MAX_KEPT_CONFIGS:
            self._values.popitem(last=False)


_compiled: Final[_Kept[VersionId, CompiledBoard]] = _Kept()
_held_back: Final[set[VersionId]] = set()


def hold_back(version: VersionId) -> None:
    """Do not keep this version's config before ``keep_again``: it is not committed yet.

    If it never is, its number is given again, to another config.
    """
    _held_back.add(version)


def keep_again(version: VersionId) -> None:
    """Keep the version's config again: it is committed, or gone."""
    _held_back.discard(version)


def boards_for_scoring(tenant_ids: Iterable[str]) -> dict[str, tuple[ScoringBoard, ...]]:
    """Return the boards on which events of these tenants may score, by tenant, oldest board first.

    An archived board is one of them while a window that had ended before is being closed.
    Queries: 2, and one more when a config version is new to this process.
    """
    tenants = sorted(set(tenant_ids))
    windows = _scored_windows(tenants)
    scorable = ~Q(status=Leaderboard.Status.ARCHIVED) | Q(pk__in=list(windows))
    boards = list(_with_status_history(Leaderboard.objects.filter(scorable, tenant__in=tenants)))
    compiled = _compiled_versions(
        {(board.pk, board.version) for board in boards}
        | {(board_id, each.version_number) for board_id in windows for each in windows[board_id]}
    )
    found: dict[str, tuple[ScoringBoard, ...]] = dict.fromkeys(tenants, ())
    for board in boards:
        made = _scoring_board(board, windows.get(board.pk, []), compiled)
        found[board.tenant_id] += (made,)
    return found


def _with_status_history(boards: QuerySet[Leaderboard]) -> QuerySet[Leaderboard]:
    history = StatusChange.objects.filter(board=OuterRef("pk")).order_by("at")
    return (
        boards.annotate(
            status_times=ArraySubquery(history.values("at")),
            status_values=ArraySubquery(history.values("status")),
        )
        .defer("config", "description")
        .order_by("pk")
    )


def _scored_windows(tenant_ids: list[str]) -> dict[UUID, list[Window]]:
    found: dict[UUID, list[Window]] = {}
    scored = (Window.State.OPEN, Window.State.CLOSING)
    for window in Window.objects.filter(tenant_id__in=tenant_ids, state__in=scored).order_by(
        "board_id", "starts_at"
    ):
        found.setdefault(window.board_id, []).append(window)
    return found


def _scoring_board(
    board: Leaderboard, windows: list[Window], compiled: dict[VersionId, CompiledBoard]
) -> ScoringBoard:
    versions = {board.version, *(window.version_number for window in windows)}
    # Annotations of the query above, which the model does not know.
    times, values = board.status_times, board.status_values  # type: ignore[attr-defined]
    return ScoringBoard(
        id=board.pk,
        tenant_id=board.tenant_id,
        leaderboard_id=board.leaderboard_id,
        newest_version=board.version,
        statuses=StatusHistory(tuple(times), tuple(value == "active" for value in values)),
        windows=tuple(windows),
        compiled={version: compiled[board.pk, version] for version in versions},
    )


def _compiled_versions(wanted: Collection[VersionId]) -> dict[VersionId, CompiledBoard]:
    found = {version: _compiled.find(version) for version in wanted}
    missing = [version for version, compiled in found.items() if compiled is None]
    if missing:
        chosen = Q()
        for board_id, number in missing:
            chosen |= Q(board_id=board_id, version=number)
        for row in BoardVersion.objects.filter(chosen):
            compiled = compile_board(parse_config(row.document["config"]))
            if (row.board_id, row.version) not in _held_back:
                _compiled.keep((row.board_id, row.version), compiled)
            found[row.board_id, row.version] = compiled
    return {version: compiled for version, compiled in found.items() if compiled is not None}


def compiled_board(board_id: UUID, version: int) -> CompiledBoard:
    """Return a version's config ready to score. Queries: 1, mostly 0."""
    return _compiled_versions([(board_id, version)])[board_id, version]


def config_of_version(board_id: UUID, version: int) -> BoardConfig:
    """Return the config of a version. Queries: 1, mostly 0."""
    return compiled_board(board_id, version).config


def view_of(window: Window, board: Leaderboard) -> BoardView:
    """Return how the window's entries become a list. Queries: 2, mostly 0.

    The order is that of the window's version; size and bounds are those of the newest.
    """
    scored_by = config_of_version(board.pk, window.version_number)
    return board_view(scored_by, config_of_version(board.pk, board.version))


def get_board(tenant_id: str, leaderboard_id: str) -> Leaderboard:
    """Return a board of the tenant. Raises: ``NotFoundError``. Queries: 1."""
    check_board_id(leaderboard_id)
    board = Leaderboard.objects.filter(tenant_id=tenant_id, leaderboard_id=leaderboard_id).first()
    if board is None:
        raise nothing_here()
    return board


def boards_across_tenants(
    tenant_ids: Collection[str] | None, *, status: str | None, limit: int, offset: int
) -> Listing[Leaderboard]:
    """Return a page of the boards of these tenants (``None``: of all), by tenant and id.

    Queries: 2.
    """
    boards = Leaderboard.objects.order_by("tenant_id", "leaderboard_id")
    if tenant_ids is not None:
        boards = boards.filter(tenant_id__in=sorted(tenant_ids))
    if status is not None:
        boards = boards.filter(status=status)
    return Listing(list(boards[offset : offset + limit]), boards.count())


def versions_of(board: Leaderboard) -> list[BoardVersion]:
    """Return the board's versions, newest first. Queries: 1."""
    return list(board.versions.order_by(F("version").desc()))
