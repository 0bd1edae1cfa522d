"""Keeping players from parts of the product (PLR-7); the apps above honor their scope."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.times import format_utc
from players import selectors
from players.constants import BAN_SCOPES, MAX_REASON_CHARACTERS
from players.exceptions import BanNotInForceError
from players.models import Ban, Player
from players.services import records
from tenants.types import Actor


@transaction.atomic
def ban(
    player_id: UUID,
    *,
    scopes: Collection[str],
    reason: str,
    actor: Actor,
    now: datetime,
    until: datetime | None = None,
) -> Ban:
    """Keep the player from ``scopes`` until it is lifted or ``until`` comes, and log it.

    Raises: ``InvalidInputError``, ``PlayerNotFoundError``.
    Repeats: an equal ban that is in force is returned. Locks: the player.
    """
    chosen = [scope for scope in BAN_SCOPES if scope in scopes]
    _check(scopes, reason, until, now)
    player = records.lock_player(player_id)
    for present in selectors.bans_in_force(player_id, now=now):
        if (present.scopes, present.reason, present.until) == (chosen, reason, until):
            return present
    made = Ban.objects.create(
        player=player,
        scopes=chosen,
        reason=reason,
        until=until,
        created_at=now,
        created_by=actor.label[:255],
    )
    _tell("player.banned", player, made, now)
    records.record("player.banned", player, actor=actor, now=now, after=_shown(made), reason=reason)
    return made


@transaction.atomic
def lift(ban_id: UUID, *, reason: str, actor: Actor, now: datetime) -> Ban:
    """End a ban before its time and log it.

    Raises: ``BanNotInForceError`` also for one that there is not.
    Repeats: refused, a ban is lifted once. Locks: the player.
    """
    _check_reason(reason)
    found = Ban.objects.filter(pk=ban_id).first()
    if found is None:
        raise BanNotInForceError("There is no such ban.")
    player = records.lock_player(found.player_id)
    # Who waited for the lock sees what the other one did.
    found.refresh_from_db()
    if found.lifted_at is not None or (found.until is not None and found.until <= now):
        raise BanNotInForceError("The ban has ended already.")
    found.lifted_at, found.lifted_by, found.lift_reason = now, actor.label[:255], reason
    found.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
    _tell("player.unbanned", player, found, now)
    records.record(
        "player.unbanned", player, actor=actor, now=now, before=_shown(found), reason=reason
    )
    return found


@transaction.atomic
def lift_all(player_id: UUID, *, reason: str, actor: Actor, now: datetime) -> list[Ban]:
    """End every ban of the player that is in force.

    Raises: ``BanNotInForceError`` when there is none, ``PlayerNotFoundError``. Locks: the player.
    """
    records.lock_player(player_id)
    present = selectors.bans_in_force(player_id, now=now)
    if not present:
        raise BanNotInForceError("No ban is in force.")
    return [lift(found.pk, reason=reason, actor=actor, now=now) for found in present]


def _check(scopes: Collection[str], reason: str, until: datetime | None, now: datetime) -> None:
    unknown = sorted(set(scopes) - set(BAN_SCOPES))
    if unknown or not scopes:
        message = f"must be some of {', '.join(BAN_SCOPES)}"
        raise InvalidInputError(f"scopes {message}", details=[Detail("scopes", message)])
    if until is not None and until <= now:
        message = "must be in the future"
        raise InvalidInputError(f"until {message}", details=[Detail("until", message)])
    _check_reason(reason)


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON_CHARACTERS:
        message = f"must have 1 to {MAX_REASON_CHARACTERS} characters"
        raise InvalidInputError(f"reason {message}", details=[Detail("reason", message)])


def _tell(type_: str, player: Player, about: Ban, now: datetime) -> None:
    # The reason is what somebody wrote about a person: it stays in the ban's row (PLR-12).
    attrs = {
        "ban_id": str(about.pk),
        "scopes": about.scopes,
        "until": None if about.until is None else format_utc(about.until),
    }
    records.append(type_, player, attrs, mark=about.pk, now=now)


def _shown(about: Ban) -> dict[str, object]:
    return {"ban": str(about.pk), "scopes": about.scopes, "until": about.until}
