"""What web processes are told about standings: the names of groups, and one message.

The message carries no standings: whoever shows a window reads them when it is told.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, TypedDict
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError

log = get_logger(__name__)

DIRTY: Final = "standings.dirty"
# The layer itself waits for ever for a Redis that takes a message and does not answer.
_SEND_SECONDS: Final = 1.0


class DirtyMessage(TypedDict):
    """The standings, the state or the view of ``window`` (32 hex digits) have changed."""

    type: str
    window: str


def standings_group(window_id: UUID) -> str:
    """Return the group that hears of changes of a window."""
    return f"standings.{window_id.hex}"


def mark_dirty(window_ids: Iterable[UUID]) -> None:
    """Tell every process that shows one of these windows; a lost message costs delay only.

    Call it after the rank index has the change, so that who is told also reads it.
    """
    chosen = sorted(set(window_ids))
    if not chosen:
        return
    try:
        async_to_sync(_send)(chosen)
    except (RedisError, OSError) as exc:
        log.warning("standings.not_announced", windows=len(chosen), error=type(exc).__name__)


async def _send(window_ids: list[UUID]) -> None:
    layer = get_channel_layer()
    assert layer is not None, "CHANNEL_LAYERS has a default"  # noqa: S101 - settings say so
    async with asyncio.timeout(_SEND_SECONDS):
        await asyncio.gather(
            *(
                layer.group_send(
                    standings_group(window_id), DirtyMessage(type=DIRTY, window=window_id.hex)
                )
                for window_id in window_ids
            )
        )
