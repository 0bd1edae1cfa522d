"""Changes of what is known about a player (PLR-3, PLR-10, PLR-11)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.times import format_utc
from phoenix_site.common.values import are_equal
from players.constants import MAX_OPT_REASONS, MAX_REASON_CHARACTERS, PERSONAL_FIELDS
from players.exceptions import VersionMismatchError
from players.models import Player, ZoneChange
from players.rules.profiles import check_profile, merged_attributes
from players.services import records
from tenants.types import Actor

_ATTRIBUTES: Final = "attributes"


@transaction.atomic
def update_profile(
    player_id: UUID,
    changes: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    expected_version: int | None = None,
    reason: str = "",
) -> Player:
    """Apply a merge patch to the profile and log it as ``player.updated``; return the player.

    ``changes`` are by column, ``None`` clears; ``attributes`` are merged one by one. The event has
    the old and new values of fields that are not personal, and the names of the others.

    Raises: ``InvalidInputError`` naming fields, ``PlayerNotFoundError``,
    ``VersionMismatchError`` when the player is not at ``expected_version``.
    Repeats: nothing differs, nothing is logged. Locks: the player.
    """
    checked = check_profile(changes)
    player = records.lock_player(player_id)
    if expected_version is not None and player.version != expected_version:
        raise VersionMismatchError(f"The player is at version {player.version} by now.")
    if _ATTRIBUTES in checked:
        checked[_ATTRIBUTES] = merged_attributes(player.attributes, checked[_ATTRIBUTES])
    before = {name: getattr(player, name) for name in checked}
    after = {name: new for name, new in checked.items() if not are_equal(before[name], new)}
    if after:
        _write(player, after, now)
        _tell(player, before, after, actor=actor, now=now, reason=reason)
    return player


def set_timezone(
    player_id: UUID, *, timezone: str, actor: Actor, now: datetime, reason: str = ""
) -> Player:
    """Let the player live in the IANA zone ``timezone`` from ``now`` on; empty: the tenant's.

    Events that occurred before keep the zone of their time. Raises, repeats and locks as
    ``update_profile``.
    """
    changes = {"timezone": timezone}
    return update_profile(player_id, changes, actor=actor, now=now, reason=reason)


@transaction.atomic
def set_gamification(
    player_id: UUID, *, enabled: bool, reasons: Sequence[str] = (), actor: Actor, now: datetime
) -> Player:
    """Opt the player in or out of gamification and log it; return the player.

    Logs ``gamification.opted_in`` or ``gamification.opted_out``.

    Raises: ``InvalidInputError`` when someone opts out without a reason, ``PlayerNotFoundError``.
    Repeats: a player who is opted so already, for the same reasons, stays as they are.
    Locks: the player.
    """
    given = [reason.strip() for reason in reasons if reason.strip()]
    _check_reasons(given, is_needed=not enabled)
    player = records.lock_player(player_id)
    is_opted_out = not enabled
    if player.is_opted_out == is_opted_out and (enabled or player.opt_reasons == given):
        return player
    before = {"enabled": not player.is_opted_out, "reasons": player.opt_reasons}
    values = {"is_opted_out": is_opted_out, "opt_changed_at": now, "opt_reasons": given}
    records.save(player, values, now=now)
    after = {"enabled": enabled, "reasons": given}
    type_ = "gamification.opted_in" if enabled else "gamification.opted_out"
    records.append(type_, player, after, mark=records.version_mark(player), now=now)
    records.record(type_, player, actor=actor, now=now, before=before, after=after)
    return player


def _check_reasons(reasons: Sequence[str], *, is_needed: bool) -> None:
    if is_needed and not reasons:
        message = "must name at least one"
    elif len(reasons) > MAX_OPT_REASONS or any(len(r) > MAX_REASON_CHARACTERS for r in reasons):
        message = f"must be at most {MAX_OPT_REASONS} of {MAX_REASON_CHARACTERS} characters"
    else:
        return
    raise InvalidInputError(f"reasons {message}", details=[Detail("reasons", message)])


def _write(player: Player, after: Mapping[str, Any], now: datetime) -> None:
    if "timezone" in after:
        # Two changes at one instant leave one zone behind.
        ZoneChange.objects.update_or_create(
            player=player, from_at=now, defaults={"timezone": after["timezone"]}
        )
    records.save(player, after, now=now)


def _tell(
    player: Player,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str,
) -> None:
    plain = sorted(after.keys() - PERSONAL_FIELDS - {_ATTRIBUTES})
    attrs = {
        "version": player.version,
        "changes": {
            name: {"old": _rendered(before[name]), "new": _rendered(after[name])} for name in plain
        },
        "personal": sorted(after.keys() & PERSONAL_FIELDS),
        # A tenant may keep anything in these, so their values count as personal too.
        "attributes": _changed_attributes(before, after),
    }
    mark = records.version_mark(player)
    records.append("player.updated", player, attrs, mark=mark, now=now)
    values = [
        {n: _rendered(side[n]) for n in after if n != _ATTRIBUTES} for side in (before, after)
    ]
    if attrs["attributes"]:
        values[1][_ATTRIBUTES] = attrs["attributes"]
    records.record(
        "player.updated",
        player,
        actor=actor,
        now=now,
        before=values[0],
        after=values[1],
        reason=reason,
    )


def _changed_attributes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    if _ATTRIBUTES not in after:
        return []
    old, new = before[_ATTRIBUTES], after[_ATTRIBUTES]
    return sorted(
        name for name in old.keys() | new.keys() if not are_equal(old.get(name), new.get(name))
    )


def _rendered(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, date):
        return value.isoformat()
    return None if value == "" else value
