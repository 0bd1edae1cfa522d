"""The life of a grant (GRT-5): which status may follow which."""

from collections.abc import Mapping
from typing import Final

from rewards.exceptions import StateConflictError

__all__ = ["CLAIMED", "EVENTS", "TRANSITIONS", "check_transition", "is_silent"]

# From no status at all a grant begins its life.
TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"unclaimed", "processing", "pending_activation"}),
    "unclaimed": frozenset({"processing", "pending_activation", "expired", "revoked"}),
    "processing": frozenset({"granted", "failed", "revoked"}),
    "failed": frozenset({"processing", "revoked"}),
    "granted": frozenset({"revoked"}),
    "pending_activation": frozenset({"activated", "expired", "revoked"}),
    "activated": frozenset({"expired", "revoked"}),
    "expired": frozenset(),
    "revoked": frozenset(),
}
# Statuses of a grant that the player has claimed, or that needed no claim.
CLAIMED: Final = frozenset({"processing", "granted", "failed", "pending_activation", "activated"})
# What is appended to the log with the move to a status (GRT-10); claiming is no status.
EVENTS: Final[Mapping[str, str]] = {
    "granted": "reward.granted",
    "activated": "reward.activated",
    "expired": "reward.expired",
}
_REWARD_EVENTS: Final = tuple(
    f"reward.{word}:" for word in ("granted", "claimed", "activated", "expired")
)


def check_transition(status: str, to: str) -> None:
    """Refuse a move that no grant makes. Raises: ``StateConflictError``."""
    if to not in TRANSITIONS[status]:
        raise StateConflictError(f"A grant that is {status} cannot become {to}.")


def is_silent(cause_event_id: str | None, depth: int) -> bool:
    """Whether a grant appends no events of its own, because such an event caused it (GRT-10).

    Ids of events that Phoenix appends follow from what they tell of; those of senders, which may
    look alike, begin a chain and have depth 0.
    """
    return depth > 0 and (cause_event_id or "").startswith(_REWARD_EVENTS)
