"""The answers of the admin gateway, and the one question about every request: is it an object."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from leaderboards.api.bodies import shown_score
from leaderboards.models import BoardVersion, Leaderboard, Window
from leaderboards.selectors import boards as selectors
from leaderboards.selectors.entries import ListedEntry
from leaderboards.types import Listing
from phoenix_site.common.differences import differences
from phoenix_site.common.drf import Page
from phoenix_site.common.exceptions import InvalidInputError


def read_object(body: Any) -> dict[str, Any]:
    """Return the body of a request. Raises: ``InvalidInputError`` unless it is an object."""
    if not isinstance(body, dict):
        raise InvalidInputError("The body must be a JSON object.")
    return body


def plain(body: msgspec.Struct) -> Any:
    """Return a body of the query gateway as the admin gateway renders it."""
    return msgspec.to_builtins(body)


def board(shown: Leaderboard) -> dict[str, Any]:
    """Return a board (LB-1)."""
    return {
        "leaderboard_id": shown.leaderboard_id,
        "tenant_id": shown.tenant_id,
        "name": shown.name,
        "description": shown.description,
        "status": shown.status,
        "version": shown.version,
        "reward_config_id": shown.reward_config_id,
        "config": shown.config,
        "created_at": shown.created_at,
        "updated_at": shown.updated_at,
    }


def boards(found: Listing[Leaderboard]) -> dict[str, Any]:
    """Return a page of boards (ADM-120)."""
    return {"total": found.total, "leaderboards": [board(each) for each in found.items]}


def versions(
    shown: Leaderboard, page: Page, newest_first: Sequence[BoardVersion]
) -> dict[str, Any]:
    """Return a page of a board's versions, each with what differs from the one before."""
    pairs = list(zip_longest(newest_first, newest_first[1:]))
    chosen = pairs[page.offset : page.offset + page.limit]
    return {
        "leaderboard_id": shown.leaderboard_id,
        "total": len(newest_first),
        "versions": [_version(each, before) for each, before in chosen],
    }


def _version(shown: BoardVersion, before: BoardVersion | None) -> dict[str, Any]:
    changes = [] if before is None else differences(before.document, shown.document)
    return {
        "version": shown.version,
        "author": shown.author,
        "created_at": shown.created_at,
        "effect": shown.effect,
        **shown.document,
        "changes": [each._asdict() for each in changes],
    }


def entries(
    shown: Leaderboard, window: Window, found: Listing[ListedEntry], page: Page
) -> dict[str, Any]:
    """Return a page of a window's entries (ADM-122)."""
    config = selectors.config_of_version(shown.pk, window.version_number)
    return {
        "leaderboard_id": shown.leaderboard_id,
        "window_key": window.key,
        "entries": [_entry(each, config.scoring.decimals) for each in found.items],
        "total": found.total,
        "limit": page.limit,
        "offset": page.offset,
    }


def _entry(entry: ListedEntry, decimals: int) -> dict[str, Any]:
    return {
        "rank": entry.rank,
        "ranked": entry.rank is not None,
        # Hiding comes later; the field is there so that a page need not change then.
        "hidden": False,
        "user_id": entry.user_id,
        "score": shown_score(entry.score, decimals),
        "reached_at": entry.reached_at,
        "event_count": entry.event_count,
    }
