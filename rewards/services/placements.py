"""What boards pay (GRT-3): the tiers of their reward configs, from the events of closed windows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final
from uuid import UUID

from ingestion.types import StoredEvent
from phoenix_site.common.logging import get_logger
from rewards.models import Grant
from rewards.rules.configs import tier_for_rank, tier_key
from rewards.rules.items import as_uuid
from rewards.services.granting import GrantDesk
from rewards.services.settlement import Settlement
from rewards.types.book import Book, ConfigView, TierView
from rewards.types.causes import Cause
from rewards.types.grants import GrantLine

__all__ = ["PLACED", "PlacementDesk", "is_placement"]

log = get_logger(__name__)

PLACED: Final = "leaderboard.placed"
_SOURCE: Final = "leaderboard"
_OVER: Final = (Grant.Status.REVOKED, Grant.Status.EXPIRED)
# In the context of a grant: the revision that took it back.
_MOVED: Final = "revoked_by_revision"


def is_placement(event: StoredEvent) -> bool:
    """Whether the event may give or take something: of a board that pays, or a correction."""
    if event.type != PLACED or event.source != "internal":
        return False
    return event.attrs.get("reward_config_id") is not None or event.attrs.get("revision", 1) > 1


class PlacementDesk:
    """Pays the placements of a settlement's players, once per board, window, player and tier.

    A window that was corrected comes again with a higher revision: what no longer holds is taken
    back as far as the player still has it, and only what is new is given.
    """

    order: ClassVar[int] = 10

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement

    def prepare(self, pairs: Sequence[tuple[StoredEvent, UUID]]) -> None:
        """Read at once what these events' windows gave before. Queries: 1 or 0."""
        self._settlement.part(GrantDesk).prepare_sources(
            [
                (event.tenant_id, _SOURCE, _source_id(event.attrs), player_id)
                for event, player_id in pairs
                if is_placement(event)
            ]
        )

    def feed(self, event: StoredEvent, player_id: UUID, cause: Cause) -> None:
        """Pay one placement. Repeats: a revision that was paid changes nothing."""
        if not is_placement(event):
            return
        desk = self._settlement.part(GrantDesk)
        given = desk.grants_of((event.tenant_id, _SOURCE, _source_id(event.attrs), player_id))
        revision = event.attrs.get("revision", 1)
        if any(grant.context.get("revision", 1) >= revision for grant in given):
            return
        book = self._settlement.book(event.tenant_id)
        tier = _tier_of(event.attrs, book)
        wanted = _items_of(tier, book)
        kept = self._take_back(given, wanted, revision)
        self._give(event, player_id, tier, [pk for pk in wanted if pk not in kept], given, cause)

    def _take_back(
        self, given: Sequence[Grant], wanted: Sequence[UUID], revision: int
    ) -> set[UUID | None]:
        """Revoke what the player has and should not have; return the items that stay."""
        kept: set[UUID | None] = set()
        for grant in given:
            if _MOVED in grant.context:
                # An earlier revision took it back: what this one says is due is given again.
                continue
            if grant.item_id in wanted or grant.status in _OVER:
                # Also what expired or staff took back: it was given, and is not given again.
                kept.add(grant.item_id)
                continue
            grant.context = {**grant.context, _MOVED: revision}
            reason = f"Revision {revision} of the window places the player elsewhere."
            self._settlement.part(GrantDesk).revoke(grant, actor="", reason=reason, clip=True)
        return kept

    def _give(
        self,
        event: StoredEvent,
        player_id: UUID,
        tier: TierView | None,
        item_ids: Sequence[UUID],
        given: Sequence[Grant],
        cause: Cause,
    ) -> None:
        facts, book = self._settlement.facts[player_id], self._settlement.book(event.tenant_id)
        if tier is None or not item_ids or facts.is_blocked("rewards") or facts.is_opted_out:
            return
        # What was revoked by one revision may be due again by the next.
        ordinal = 1 + max((grant.ordinal for grant in given), default=0)
        revision = event.attrs.get("revision", 1)
        self._settlement.part(GrantDesk).give(
            player_id,
            items=[GrantLine(book.items[pk]) for pk in item_ids],
            cause=replace(cause, source_type=_SOURCE, source_id=_source_id(event.attrs)),
            context={
                "leaderboard_id": event.attrs["leaderboard_id"],
                "window_key": event.attrs["window_key"],
                "rank": event.attrs["rank"],
                "tier": tier_key(tier),
                "tier_name": tier.name,
                "revision": revision,
            },
            ordinal=ordinal,
            group_name=str(revision),
        )

    def write(self) -> None:
        """Store nothing: what is given and taken back is the grants' desk's to write."""


def _source_id(attrs: Mapping[str, Any]) -> str:
    """Return what a player is paid for once: a window of a board."""
    return f"{attrs['leaderboard_id']}:{attrs['window_key']}"


def _tier_of(attrs: Mapping[str, Any], book: Book) -> TierView | None:
    rank, config = attrs.get("rank"), _config_of(attrs, book)
    return None if config is None or rank is None else tier_for_rank(config, rank)


def _config_of(attrs: Mapping[str, Any], book: Book) -> ConfigView | None:
    named = attrs.get("reward_config_id")
    if named is None:
        return None
    config_id = as_uuid(named)
    config = None if config_id is None else book.configs.get(config_id)
    if config is None or config.config_type != "leaderboard":
        log.warning("placement.no_config", tenant_id=book.tenant_id, reward_config_id=named)
        return None
    return config


def _items_of(tier: TierView | None, book: Book) -> list[UUID]:
    if tier is None:
        return []
    return [pk for pk in tier.items_of("default") if pk in book.items]
