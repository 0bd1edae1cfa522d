"""Words that staff and operators put on players (PLR-4)."""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import Detail, InvalidInputError
from players.constants import MAX_TAG_VALUE_CHARACTERS, MAX_TAGS_PER_PLAYER, SLUG_PATTERN
from players.models import Player, PlayerTag
from players.services import records
from players.types import TagInput
from tenants.types import Actor

_is_slug: Final = re.compile(SLUG_PATTERN).fullmatch
_Content = tuple[str, datetime | None]
_Tags = dict[str, _Content]
_has_control: Final = re.compile(r"[\x00-\x1f\x7f]").search


@transaction.atomic
def change_tags(
    player_id: UUID,
    *,
    add: Sequence[TagInput] = (),
    remove: Collection[str] = (),
    actor: Actor,
    now: datetime,
) -> dict[str, str]:
    """Set the tags ``add`` and take the tags ``remove`` away; return those that the player has.

    A tag in both is set. Logs what differs as ``player.tags_changed``.

    Raises: ``InvalidInputError``, ``PlayerNotFoundError``.
    Repeats: nothing differs, nothing is logged. Locks: the player.
    """
    _check(add, now)
    player = records.lock_player(player_id)
    PlayerTag.objects.filter(player=player, expires_at__lte=now).delete()
    present = {tag.name: _content(tag) for tag in player.tags.all()}
    wanted = {name: content for name, content in present.items() if name not in set(remove)}
    wanted |= {tag.name: _content(tag) for tag in add}
    if wanted != present:
        if len(wanted) > MAX_TAGS_PER_PLAYER:
            raise InvalidInputError(f"A player has at most {MAX_TAGS_PER_PLAYER} tags.")
        _write(player, present, wanted, now)
        _tell(player, present, wanted, actor=actor, now=now)
    return _values(wanted)


def _content(tag: Any) -> _Content:
    return tag.value, tag.expires_at


def _values(tags: _Tags) -> dict[str, str]:
    return {name: value for name, (value, _) in sorted(tags.items())}


def _changed(present: _Tags, wanted: _Tags) -> _Tags:
    return {name: content for name, content in wanted.items() if present.get(name) != content}


def _write(player: Player, present: _Tags, wanted: _Tags, now: datetime) -> None:
    player.tags.filter(name__in=present.keys() - wanted.keys()).delete()
    PlayerTag.objects.bulk_create(
        [
            PlayerTag(player=player, name=name, value=value, expires_at=until, created_at=now)
            for name, (value, until) in _changed(present, wanted).items()
        ],
        update_conflicts=True,
        unique_fields=["player", "name"],
        update_fields=["value", "expires_at"],
    )
    records.save(player, {}, now=now)


def _tell(player: Player, present: _Tags, wanted: _Tags, *, actor: Actor, now: datetime) -> None:
    added = _values(_changed(present, wanted))
    attrs = {
        "added": [{"name": name, "value": value} for name, value in added.items()],
        "removed": sorted(present.keys() - wanted.keys()),
    }
    mark = records.version_mark(player)
    records.append("player.tags_changed", player, attrs, mark=mark, now=now)
    records.record(
        "player.tags_changed",
        player,
        actor=actor,
        now=now,
        before={"tags": _values(present)},
        after={"tags": _values(wanted)},
    )


def _check(tags: Sequence[TagInput], now: datetime) -> None:
    faults = [fault for index, tag in enumerate(tags) for fault in _faults(index, tag, now)]
    if faults:
        raise InvalidInputError(f"{faults[0].field} {faults[0].message}", details=faults)


def _faults(index: int, tag: TagInput, now: datetime) -> Iterator[Detail]:
    if not _is_slug(tag.name):
        yield Detail(f"add[{index}].name", "must have 1 to 64 letters, digits, - and _")
    if len(tag.value) > MAX_TAG_VALUE_CHARACTERS or _has_control(tag.value):
        message = (
            f"must have at most {MAX_TAG_VALUE_CHARACTERS} characters and no control character"
        )
        yield Detail(f"add[{index}].value", message)
    if tag.expires_at is not None and tag.expires_at <= now:
        yield Detail(f"add[{index}].expires_at", "must be in the future")
