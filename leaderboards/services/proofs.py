"""Prove standings: the log must give the rows, the rows the index, the frozen rows the hash.

Nothing is changed and nobody waits: log, cursors and rows are read in one snapshot, in which they
belong together. The index moves on meanwhile, so where it differs it is asked again.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from leaderboards.models import BoardVersion, Entry, FrozenStanding, Window
from leaderboards.rules import ranking
from leaderboards.rules.configuration import parse_config
from leaderboards.rules.hashing import hash_standings
from leaderboards.rules.ranking import decode_member, index_score
from leaderboards.selectors import indexed, rank_index
from leaderboards.selectors.replays import Replay, open_replay
from leaderboards.selectors.standings import board_view
from leaderboards.types import (
    BoardView,
    EntryState,
    LogPosition,
    RankedEntry,
    Standing,
    StandingsHeader,
)
from tenants.models import Tenant

_ROWS_PER_FETCH: Final = 5000
_INDEX_PAGE: Final = 1000
# A batch that commits brings its changes to the index within moments.
_ROUNDS: Final = 20
_PAUSE_SECONDS: Final = 0.1
_EVERYBODY: Final = 10**9


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as the log says; ``subject`` is a player, ``hash`` or ``index``."""

    part: str
    subject: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.part} {self.subject}: expected {self.expected}, found {self.found}"


@dataclass(slots=True)
class Proof:
    """The outcome for one window; ``skipped`` says why it could not be proven.

    ``has_index`` when there is a rank index that has every change.
    """

    window: Window
    event_counts: dict[str, int] = field(default_factory=dict)
    entry_count: int = 0
    has_index: bool = False
    skipped: str = ""
    differences: list[Difference] = field(default_factory=list)


def verify_window(window_id: UUID, *, now: datetime) -> Proof:
    """Return how the standings of a window compare with the log. Runs beside live traffic."""
    proof = _verify_rows(window_id, now)
    if proof.window.is_scored and not proof.skipped:
        _verify_index(proof)
    return proof


@transaction.atomic
def _verify_rows(window_id: UUID, now: datetime) -> Proof:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    window = Window.objects.select_related("board").get(pk=window_id)
    proof = Proof(window)
    if window.state == Window.State.VOID:
        proof.skipped = "void"
        return proof
    if _may_be_purged(window, now):
        proof.skipped = "its events may be deleted by the retention"
        return proof
    replay = open_replay(window)
    for _step in replay.run():
        pass
    proof.event_counts, proof.entry_count = dict(replay.counts), len(replay.states)
    proof.differences += _row_differences(window, replay)
    if window.state == Window.State.CLOSED:
        proof.differences += _frozen_differences(window, replay)
    return proof


def _may_be_purged(window: Window, now: datetime) -> bool:
    """Whether the retention may have deleted events; those of scored windows are kept."""
    tenant = Tenant.objects.get(pk=window.tenant_id)
    kept_since = now - timedelta(days=tenant.retention_days)
    return not window.is_scored and window.starts_at < kept_since


# --- Rows ----------------------------------------------------------------------------------------


def _row_differences(window: Window, replay: Replay) -> Iterator[Difference]:
    missing = dict(replay.states)
    for user_id, found in _states(window):
        expected = missing.pop(user_id, None)
        if found != expected:
            yield Difference("entry", user_id, _shown(expected), _shown(found))
    for user_id, expected in missing.items():
        yield Difference("entry", user_id, _shown(expected), "none")


def _states(window: Window) -> Iterator[tuple[str, EntryState]]:
    rows = Entry.objects.filter(window=window).iterator(chunk_size=_ROWS_PER_FETCH)
    for row in rows:
        position = LogPosition(row.last_xid, row.last_event)
        yield (
            row.user_id,
            EntryState(
                row.score,
                row.reached_at,
                int(row.total),
                row.event_count,
                row.has_points,
                row.last_occurred_at,
                position,
            ),
        )


def _shown(state: EntryState | None) -> str:
    if state is None:
        return "none"
    return (
        f"{state.score} reached {state.reached_at.isoformat()} with {state.event_count} events"
        f" (sum {state.total}, last {state.last_position.event})"
    )


# --- Frozen rows ---------------------------------------------------------------------------------


def _frozen_differences(window: Window, replay: Replay) -> Iterator[Difference]:
    view = _view_when_closed(window, replay)
    entries = (
        RankedEntry(user_id, state.score, state.reached_at)
        for user_id, state in replay.states.items()
        if view.lowest <= state.score <= view.highest
    )
    expected = ranking.rank(entries, view.method, view.tie_policy)
    found = list(_frozen(window))
    by_player = {standing.external_id: standing for standing in found}
    for standing in expected:
        other = by_player.pop(standing.external_id, None)
        if other != standing:
            yield Difference("standing", standing.external_id, _placed(standing), _placed(other))
    for user_id, standing in by_player.items():
        yield Difference("standing", user_id, "none", _placed(standing))
    for part, standings in (("frozen rows", found), ("log", expected)):
        computed = hash_standings(_header(window, replay), standings)
        if computed != window.hash:
            yield Difference("hash", f"of the {part}", window.hash, computed)


def _view_when_closed(window: Window, replay: Replay) -> BoardView:
    """Return the view that the window was closed with: later changes of a board do not reach it."""
    versions = BoardVersion.objects.filter(board_id=window.board_id)
    if window.closed_at is not None:
        versions = versions.filter(created_at__lte=window.closed_at)
    newest = versions.order_by("-version").first()
    assert newest is not None, "a board begins with a version"  # noqa: S101
    return board_view(replay.compiled.config, parse_config(newest.document["config"]))


def _frozen(window: Window) -> Iterator[Standing]:
    rows = FrozenStanding.objects.filter(window=window, revision=window.revision).order_by("place")
    values = rows.values_list("rank", "user_id", "score", "reached_at")
    for row in values.iterator(chunk_size=_ROWS_PER_FETCH):
        yield Standing(*row)


def _placed(standing: Standing | None) -> str:
    if standing is None:
        return "none"
    return f"rank {standing.rank}, {standing.score} reached {standing.reached_at.isoformat()}"


def _header(window: Window, replay: Replay) -> StandingsHeader:
    assert window.ends_at is not None, "a window without end never closes"  # noqa: S101
    return StandingsHeader(
        tenant_id=window.tenant_id,
        leaderboard_id=window.board.leaderboard_id,
        window_key=window.key,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        config_version=window.version_number,
        decimals=replay.compiled.decimals,
        revision=window.revision,
        previous_hash=window.previous_hash or None,
    )


# --- The index -----------------------------------------------------------------------------------

# Where an entry is filed: its score and the time it was reached.
_Filed = dict[str, tuple[int, datetime]]


def _verify_index(proof: Proof) -> None:
    """Hold the index against the rows.

    One that is missing, or lacks changes by its own account, is no fault: the rows answer then.
    """
    window_id = proof.window.pk
    source = indexed.find_index_source(window_id)
    if source is None:
        return
    view = BoardView(source.window.method, source.window.tie_policy, size=_EVERYBODY)
    filed = _filed(window_id, view)
    proof.has_index = filed is not None
    rows = _rows(Entry.objects.filter(window_id=window_id))
    suspects = _unequal(rows, filed or rows)
    for _ in range(_ROUNDS):
        if not suspects:
            return
        time.sleep(_PAUSE_SECONDS)
        rows = _rows(Entry.objects.filter(window_id=window_id, user_id__in=suspects))
        filed = _filed_of(window_id, view, sorted(suspects))
        suspects = _unequal(rows, rows if filed is None else filed)
    lacking = _lacking(window_id, view, suspects)
    proof.has_index = proof.has_index and not lacking
    for user_id in sorted(suspects - lacking):
        expected, found = rows.get(user_id), (filed or {}).get(user_id)
        proof.differences.append(Difference("index", user_id, str(expected), str(found)))


def _lacking(window_id: UUID, view: BoardView, user_ids: set[str]) -> set[str]:
    """Return those whose last change the index does not claim to have."""
    reply = rank_index.read(window_id, view, "players", ())
    source = indexed.find_index_source(window_id)
    if reply is None or source is None:
        return user_ids
    if reply.versions.generation != source.versions.generation:
        return user_ids
    entries = Entry.objects.filter(window_id=window_id, user_id__in=user_ids)
    return {
        user_id
        for user_id, shard, change in entries.values_list("user_id", "shard", "change")
        if change > reply.versions.by_shard.get(shard, 0)
    }


def _rows(entries: QuerySet[Entry]) -> _Filed:
    values = entries.values_list("user_id", "score", "reached_at")
    return {user_id: (score, at) for user_id, score, at in values.iterator(_ROWS_PER_FETCH)}


def _unequal(rows: _Filed, filed: _Filed) -> set[str]:
    return {user_id for user_id in rows.keys() | filed if rows.get(user_id) != filed.get(user_id)}


def _filed(window_id: UUID, view: BoardView) -> _Filed | None:
    """Return all that the index holds, ``None`` when it is not there."""
    filed: _Filed = {}
    offset = 0
    while True:
        args = (view.size, offset, _INDEX_PAGE, "")
        reply = rank_index.read(window_id, view, "top", args)
        if reply is None:
            return None
        flat = reply.values[0][1]
        for member, score in zip(flat[::2], flat[1::2], strict=True):
            decoded = decode_member(member)
            scaled = index_score(int(score), view.method)
            filed[decoded.external_id] = (scaled, decoded.reached_at)
        offset += _INDEX_PAGE
        if len(flat) < 2 * _INDEX_PAGE:
            return filed


def _filed_of(window_id: UUID, view: BoardView, user_ids: list[str]) -> _Filed | None:
    filed: _Filed = {}
    for start in range(0, len(user_ids), _INDEX_PAGE):
        asked = user_ids[start : start + _INDEX_PAGE]
        reply = rank_index.read(window_id, view, "players", asked)
        if reply is None:
            return None
        for user_id, standing in zip(asked, reply.values[0], strict=True):
            if standing:
                scaled = index_score(int(standing[1]), view.method)
                filed[user_id] = (scaled, decode_member(standing[0]).reached_at)
    return filed
