"""What an answer means for a delivery, and when it is tried again (04/WHK-5, 03/GRT-8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final, Literal

from tenants.constants import MAX_RETRY_AFTER, RETRY_JITTER

Outcome = Literal["delivered", "failed"]
Verdict = Outcome | Literal["retry"]

_RETRY_AFTER_STATUSES: Final = frozenset({429, 503})
_MAX_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class DeliveryKind:
    """Which answers a kind of delivery takes for success, and which of the 4xx may pass.

    Any 2xx succeeds. ``retried`` names the 4xx that are tried again; others fail at once.
    Everything else, redirects included, is tried again. ``order_wait`` is how long one waits for
    earlier ones of its order key; ``None`` means however long it takes.
    """

    also_delivered: frozenset[int] = frozenset()
    retried: frozenset[int] = frozenset({408, 429})
    order_wait: timedelta | None = None


_DEFAULT: Final = DeliveryKind()
KINDS: Final[Mapping[str, DeliveryKind]] = {
    # A repeated key answers 409: the operator has credited it already.
    "bonus_credit": DeliveryKind(also_delivered=frozenset({409})),
}


def kind_of(name: str) -> DeliveryKind:
    """Return how deliveries of this kind are judged."""
    return KINDS.get(name, _DEFAULT)


def verdict_of(kind: DeliveryKind, status: int | None) -> Verdict:
    """Return what to do after an answer; ``None`` means that there was none."""
    if status is None:
        return "retry"
    if 200 <= status <= 299 or status in kind.also_delivered:
        return "delivered"
    if 400 <= status <= 499 and status not in kind.retried:
        return "failed"
    return "retry"


def next_pause(
    schedule: Sequence[float], step: int, *, retry_after: timedelta | None, rng: Random
) -> timedelta | None:
    """Return how long to wait before attempt ``step`` (from 0), or ``None`` when all are used.

    ``schedule`` holds seconds, each spread by 10 %; what the other side asked for is the least.
    """
    if step >= len(schedule):
        return None
    spread = 1 + RETRY_JITTER * (2 * rng.random() - 1)
    pause = timedelta(seconds=schedule[step] * spread)
    return max(pause, min(retry_after or timedelta(0), MAX_RETRY_AFTER))


def retry_after_of(
    status: int | None, headers: Mapping[str, str], *, now: datetime
) -> timedelta | None:
    """Return the pause that a 429 or 503 asks for, in seconds or as a date, if it does."""
    text = headers.get("retry-after", "").strip()
    if status not in _RETRY_AFTER_STATUSES or not text:
        return None
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text)) if len(text) <= _MAX_DIGITS else MAX_RETRY_AFTER
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(at.replace(tzinfo=at.tzinfo or UTC) - now, timedelta(0))


def address_of(target: str, base_url: str) -> str | None:
    """Return where a delivery goes, or ``None`` for a path while the operator has no address."""
    if not target.startswith("/"):
        return target
    return base_url.rstrip("/") + target if base_url else None
