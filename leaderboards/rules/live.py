"""What a live view shows, how it changes, and the messages that say so (spec 02 section 9).

A *view* is what one connection looks at: a window, a filter and a page. Its state at an epoch and
sequence is a pure function of the rank index, so the same difference may be worked out anywhere,
and ``apply_update`` is what a client does with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from phoenix_site.common.times import format_utc, parse_rfc3339

FilterType = Literal["none", "top_n", "around_user", "users"]

DEFAULT_PAGE_SIZE = 100
# Filters that show one page, whatever its size.
ONE_PAGE_FILTERS = frozenset({"around_user", "users"})


@dataclass(frozen=True, slots=True)
class ViewFilter:
    """Which entries of the list a view is about; fields that the type does not use are empty."""

    type: FilterType = "none"
    n: int | None = None
    user_id: str | None = None
    range: int | None = None
    user_ids: tuple[str, ...] = ()

    @property
    def has_one_page(self) -> bool:
        """Return whether all entries of the filter are on page 1."""
        return self.type in ONE_PAGE_FILTERS

    def as_dict(self) -> dict[str, Any]:
        """Return the filter as messages carry it."""
        if self.type == "top_n":
            return {"type": "top_n", "n": self.n}
        if self.type == "around_user":
            return {"type": "around_user", "user_id": self.user_id, "range": self.range}
        if self.type == "users":
            return {"type": "users", "user_ids": list(self.user_ids)}
        return {"type": "none"}


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """What a connection shows of its window. The plain ``ViewSpec()`` is the *default view*."""

    filter: ViewFilter = ViewFilter()
    page: int = 1
    page_size: int = DEFAULT_PAGE_SIZE

    @property
    def offset(self) -> int:
        """Return the 0-based position of the page's first entry."""
        return (self.page - 1) * self.page_size


DEFAULT_VIEW = ViewSpec()


class Row(NamedTuple):
    """One entry of a view, as shown."""

    rank: int
    user_id: str
    score: int | Decimal
    reached_at: datetime
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class ViewState:
    """All of a view at one epoch and sequence; ``rows`` are in rank order."""

    epoch: str
    sequence: int
    rows: tuple[Row, ...]
    total_entries: int
    total_players: int


@dataclass(frozen=True, slots=True)
class OwnRank:
    """Where the token's player stands; without a rank for who is not on the list."""

    rank: int | None
    score: int | Decimal | None

    def as_dict(self, total_players: int) -> dict[str, Any]:
        """Return it as ``me`` of a snapshot."""
        return {
            "ranked": self.rank is not None,
            "rank": self.rank,
            "score": self.score,
            "total_players": total_players,
        }


@dataclass(frozen=True, slots=True)
class OwnRanks:
    """The ranks of some players; who has no entry is missing."""

    ranks: dict[str, OwnRank]
    total_players: int


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What messages say about the window that they are about."""

    leaderboard_id: str
    key: str
    status: str
    ends_at: datetime | None


class Change(NamedTuple):
    """A row that is new or different, and its rank before, if it was in the view."""

    row: Row
    previous_rank: int | None


@dataclass(frozen=True, slots=True)
class Update:
    """The way from one state of a view to the next."""

    epoch: str
    previous_sequence: int
    sequence: int
    changes: tuple[Change, ...]
    left: tuple[str, ...]
    total_entries: int
    total_players: int


def page_count(total_entries: int, spec: ViewSpec) -> int:
    """Return how many pages the view's entries fill, at least one."""
    if spec.filter.has_one_page:
        return 1
    return max(1, -(-total_entries // spec.page_size))


def is_news(old: ViewState, new: ViewState) -> bool:
    """Return whether a client that shows ``old`` lacks something of ``new``.

    A state may be read late and be the older one. Totals of players are told with the own rank.
    """
    if old.epoch != new.epoch:
        return True
    if new.sequence < old.sequence:
        return False
    return old.total_entries != new.total_entries or old.rows != new.rows


def find_update(old: ViewState, new: ViewState) -> Update | None:
    """Return what turns ``old`` into ``new``; ``None`` when a snapshot must come instead.

    That is after a new epoch, or when more than half of the view changed.
    """
    if old.epoch != new.epoch:
        return None
    before = {row.user_id: row for row in old.rows}
    after = {row.user_id for row in new.rows}
    changes = tuple(
        Change(row, previous.rank if previous else None)
        for row in new.rows
        if (previous := before.get(row.user_id)) != row
    )
    left = tuple(row.user_id for row in old.rows if row.user_id not in after)
    if 2 * (len(changes) + len(left)) > max(len(old.rows), len(new.rows)):
        return None
    return Update(
        epoch=new.epoch,
        previous_sequence=old.sequence,
        sequence=new.sequence,
        changes=changes,
        left=left,
        total_entries=new.total_entries,
        total_players=new.total_players,
    )


def apply_update(old: ViewState, update: Update) -> ViewState:
    """Return the state after ``update``, as a client works it out: change, remove, sort."""
    rows = {row.user_id: row for row in old.rows}
    for user_id in update.left:
        rows.pop(user_id, None)
    for change in update.changes:
        rows[change.row.user_id] = change.row
    return replace(
        old,
        sequence=update.sequence,
        rows=tuple(sorted(rows.values(), key=_list_order)),
        total_entries=update.total_entries,
        total_players=update.total_players,
    )


def _list_order(row: Row) -> tuple[int, datetime, bytes]:
    """Order rows as lists do: within a shared rank by time reached, then by id (02/LB-40)."""
    return (row.rank, row.reached_at, row.user_id.encode())


def own_rank_in(state: ViewState, user_id: str) -> OwnRank | None:
    """Return the rank of a player whom the view shows, so that it never contradicts itself."""
    for row in state.rows:
        if row.user_id == user_id:
            return OwnRank(row.rank, row.score)
    return None


# --- Messages ------------------------------------------------------------------------------------


def row_fields(row: Row) -> dict[str, Any]:
    """Return a row as messages and kept states carry it."""
    return {
        "rank": row.rank,
        "user_id": row.user_id,
        "score": row.score,
        "reached_at": format_utc(row.reached_at),
        "display_name": row.display_name,
        "metadata": {},
    }


def read_row(fields: Mapping[str, Any]) -> Row:
    """Return the row of ``row_fields``."""
    return Row(
        rank=fields["rank"],
        user_id=fields["user_id"],
        score=fields["score"],
        reached_at=parse_rfc3339(fields["reached_at"]),
        display_name=fields["display_name"],
    )


def view_fields(
    kind: Literal["snapshot", "page"], facts: WindowFacts, spec: ViewSpec, state: ViewState
) -> dict[str, Any]:
    """Return what a ``snapshot`` or ``page`` has in common for everybody who gets it."""
    return {
        "type": kind,
        "leaderboard_id": facts.leaderboard_id,
        "window_key": facts.key,
        "window_status": facts.status,
        "window_end": format_utc(facts.ends_at) if facts.ends_at else None,
        "epoch": state.epoch,
        "sequence": state.sequence,
        "page": spec.page,
        "page_size": spec.page_size,
        "filter": spec.filter.as_dict(),
        "total_entries": state.total_entries,
        "total_pages": page_count(state.total_entries, spec),
        "entries": [row_fields(row) for row in state.rows],
    }


def update_fields(
    facts: WindowFacts, spec: ViewSpec, update: Update, *, now: datetime
) -> dict[str, Any]:
    """Return the ``update`` message."""
    return {
        "type": "update",
        "leaderboard_id": facts.leaderboard_id,
        "window_key": facts.key,
        "epoch": update.epoch,
        "previous_sequence": update.previous_sequence,
        "sequence": update.sequence,
        "changes": [
            {**row_fields(change.row), "previous_rank": change.previous_rank}
            for change in update.changes
        ],
        "left": list(update.left),
        "total_entries": update.total_entries,
        "total_pages": page_count(update.total_entries, spec),
        "timestamp": format_utc(now),
    }


def my_rank_fields(
    own: OwnRank, previous: OwnRank | None, total_players: int, *, now: datetime
) -> dict[str, Any]:
    """Return the ``my_rank`` message."""
    return {
        "type": "my_rank",
        "ranked": own.rank is not None,
        "rank": own.rank,
        "previous_rank": previous.rank if previous else None,
        "score": own.score,
        "total_players": total_players,
        "timestamp": format_utc(now),
    }


def window_changed_fields(previous_key: str, key: str, *, now: datetime) -> dict[str, Any]:
    """Return the ``window_changed`` message."""
    return {
        "type": "window_changed",
        "previous_window_key": previous_key,
        "window_key": key,
        "timestamp": format_utc(now),
    }


def window_closed_fields(key: str, *, proof: str, revision: int, now: datetime) -> dict[str, Any]:
    """Return the ``window_closed`` message; ``proof`` is the hash of the final standings."""
    return {
        "type": "window_closed",
        "window_key": key,
        "hash": proof,
        "revision": revision,
        "timestamp": format_utc(now),
    }


def heartbeat_fields(state: ViewState, *, now: datetime) -> dict[str, Any]:
    """Return the ``heartbeat`` message with the last sequence of the view."""
    return {
        "type": "heartbeat",
        "epoch": state.epoch,
        "sequence": state.sequence,
        "timestamp": format_utc(now),
    }


# --- The default view between processes ----------------------------------------------------------


class StreamFrame(NamedTuple):
    """A change of the default view as processes pass it on and keep it for who comes back.

    ``text`` is the ``update`` message. Without ``previous_sequence`` it is a break: there is no way
    from what was before, and ``text`` has the ``state_fields`` from which everybody starts.
    """

    epoch: str
    previous_sequence: int | None
    sequence: int
    total_players: int
    text: bytes


class ResumePoint(NamedTuple):
    """The last thing that a client saw before its connection broke."""

    epoch: str
    sequence: int


def missed_frames(
    log: Iterable[StreamFrame], since: ResumePoint, *, until: int
) -> list[StreamFrame] | None:
    """Return the unbroken chain of updates from ``since`` to the sequence ``until``.

    ``None`` when there is none: frames are no longer kept, a break lies between, or the client
    never was at ``since``. A sequence that was reached twice (the board's bounds changed) does not
    tell what the client saw.
    """
    of_epoch = [frame for frame in log if frame.epoch == since.epoch]
    if sum(frame.sequence == since.sequence for frame in of_epoch) > 1:
        return None
    chain: list[StreamFrame] = []
    at = since.sequence
    for frame in of_epoch:
        if at == until:
            break
        if frame.previous_sequence == at:
            chain.append(frame)
            at = frame.sequence
    return chain if at == until else None


def read_update(fields: Mapping[str, Any], *, total_players: int) -> Update:
    """Return the update of an ``update`` message."""
    return Update(
        epoch=fields["epoch"],
        previous_sequence=fields["previous_sequence"],
        sequence=fields["sequence"],
        changes=tuple(
            Change(read_row(change), change["previous_rank"]) for change in fields["changes"]
        ),
        left=tuple(fields["left"]),
        total_entries=fields["total_entries"],
        total_players=total_players,
    )


def state_fields(state: ViewState) -> dict[str, Any]:
    """Return a state as it is kept for other processes."""
    return {
        "epoch": state.epoch,
        "sequence": state.sequence,
        "rows": [row_fields(row) for row in state.rows],
        "total_entries": state.total_entries,
        "total_players": state.total_players,
    }


def read_state(fields: Mapping[str, Any]) -> ViewState:
    """Return the state of ``state_fields``."""
    return ViewState(
        epoch=fields["epoch"],
        sequence=fields["sequence"],
        rows=tuple(read_row(row) for row in fields["rows"]),
        total_entries=fields["total_entries"],
        total_players=fields["total_players"],
    )
