"""Ladders: their documents, and the levels that players climb and lose.

A level follows what a wallet ever earned: up with every credit, down with a reversal only. A
changed curve reaches the players by a job; until it has come to one, that player keeps the level.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Final
from uuid import UUID, uuid5

from django.db import IntegrityError, transaction

from phoenix_site.common.arrays import IntegerArray, TimeArray, UuidArray
from phoenix_site.common.documents import merge_patch, plain_number
from phoenix_site.common.faults import Fault
from rewards.exceptions import AlreadyExistsError, DocumentError
from rewards.models import Currency, Job, Ladder, PlayerLevel, RewardItem
from rewards.rules import ladders as rules
from rewards.rules.identifiers import is_slug
from rewards.selectors import ladders as selectors
from rewards.services import documents, jobs
from rewards.services.granting import GrantDesk, GrantLine
from rewards.services.settlement import Settlement
from rewards.services.statements import run
from rewards.types.causes import Cause, child_event
from rewards.types.ladders import Curve, LadderView
from rewards.types.money import WalletChange
from tenants.types import Actor

KIND: Final = "ladder"
_KEYS: Final = frozenset(
    {"ladder_id", "name", "currency_id", "levels", "ranks", "downgrade", "active", "version"}
)
_POLICIES: Final = ("grandfather", "recompute")

_WRITE: Final = """
INSERT INTO rewards_playerlevel
    (ladder_id, player_id, level, highest_level, floor_level, reached_at)
SELECT * FROM unnest(
    %(ladders)b, %(players)b, %(levels)b, %(highest)b, %(floors)b, %(times)b
)
ON CONFLICT (player_id, ladder_id) DO UPDATE SET
    level = excluded.level,
    highest_level = excluded.highest_level,
    floor_level = excluded.floor_level,
    reached_at = excluded.reached_at
"""


# --- Documents -----------------------------------------------------------------------------------


@transaction.atomic
def create_ladder(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = ""
) -> Ladder:
    """Create a ladder from its document (LVL-2).

    Raises: ``DocumentError`` with every fault, ``AlreadyExistsError`` for an id that is taken.
    """
    ladder = Ladder(tenant_id=tenant_id, ladder_id=str(document.get("ladder_id", "")))
    _fill(ladder, document)
    try:
        with transaction.atomic():
            ladder.save(force_insert=True)
    except IntegrityError as exc:
        raise AlreadyExistsError(f"There is a ladder {ladder.ladder_id} already.") from exc
    _note(ladder, before=None, actor=actor, now=now, reason=reason)
    return ladder


@transaction.atomic
def change_ladder(
    tenant_id: str,
    ladder_id: str,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> Ladder:
    """Replace a ladder's document; a changed curve reaches the players by a job.

    Such a change must say by ``policy`` what becomes of players who stand too high by the new one:
    ``grandfather`` lets them keep their level, ``recompute`` does not.

    Raises: ``NotFoundError``, ``VersionConflictError``, ``DocumentError``. Locks: the ladder.
    """
    ladder = _lock(tenant_id, ladder_id)
    document = dict(document)
    policy = document.pop("policy", None)
    documents.check_version(document.get("version"), ladder.version)
    if document.get("ladder_id", ladder_id) != ladder_id:
        raise DocumentError([Fault("ladder_id", "cannot be changed")])
    before = selectors.ladder_document(ladder)
    _fill(ladder, {**document, "ladder_id": ladder_id})
    is_moved = selectors.shape_of(before) != selectors.shape_of(selectors.ladder_document(ladder))
    _check_policy(policy, is_needed=is_moved)
    ladder.version += 1
    ladder.save()
    _note(ladder, before=before, actor=actor, now=now, reason=reason)
    if is_moved:
        parameters = {"ladder_id": ladder_id, "version": ladder.version, "policy": policy}
        jobs.enqueue(tenant_id, "ladder_apply", parameters, actor.label, now)
    return ladder


def _check_policy(policy: Any, *, is_needed: bool) -> None:
    if policy is None and not is_needed:
        return
    if policy not in _POLICIES:
        raise DocumentError([Fault("policy", f"must be one of {', '.join(_POLICIES)}")])


def patch_ladder(
    tenant_id: str, ladder_id: str, patch: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Ladder:
    """Merge ``patch`` into the ladder's document (RFC 7396); lists are replaced whole.

    See ``change_ladder``.
    """
    present = selectors.editable_document(selectors.get_ladder(tenant_id, ladder_id))
    return change_ladder(tenant_id, ladder_id, merge_patch(present, patch), actor=actor, now=now)


def archive_ladder(tenant_id: str, ladder_id: str, *, actor: Actor, now: datetime) -> Ladder:
    """Take the ladder out of use; nobody's level moves. Repeats: harmless."""
    return patch_ladder(tenant_id, ladder_id, {"active": False}, actor=actor, now=now)


def duplicate_ladder(
    tenant_id: str, ladder_id: str, changes: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Ladder:
    """Make a copy of the ladder with ``changes`` merged into it. See ``create_ladder``."""
    present = selectors.editable_document(selectors.get_ladder(tenant_id, ladder_id))
    copy = {**present, "ladder_id": f"{ladder_id[:59]}-copy", "active": True}
    return create_ladder(tenant_id, merge_patch(copy, changes), actor=actor, now=now)


@transaction.atomic
def start_preview(
    tenant_id: str, ladder_id: str, changes: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Job:
    """Start the job that tells what a changed document would do to the ladder's players.

    ``changes`` are merged into the present document; ``policy`` is ``grandfather`` by default.

    Raises: ``NotFoundError``, ``DocumentError``.
    """
    present = selectors.editable_document(selectors.get_ladder(tenant_id, ladder_id))
    document = {**merge_patch(present, changes), "ladder_id": ladder_id}
    document.pop("version", None)
    policy = document.pop("policy", _POLICIES[0])
    _check_policy(policy, is_needed=True)
    parse_document(tenant_id, document)
    parameters = {"ladder_id": ladder_id, "document": document, "policy": policy}
    return jobs.enqueue(tenant_id, "ladder_preview", parameters, actor.label, now)


def parse_document(tenant_id: str, document: Mapping[str, Any]) -> tuple[Currency, Curve]:
    """Return the currency and the curve of a document. Raises: ``DocumentError``."""
    faults = [Fault(key, "is not a known key") for key in document if key not in _KEYS]
    if not is_slug(document.get("ladder_id")):
        faults.append(Fault("ladder_id", "must be a slug: small letters, digits, - and _"))
    name = document.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 255:
        faults.append(Fault("name", "must be a text of 1 to 255 characters"))
    if document.get("downgrade") is not None:
        faults.append(Fault("downgrade", "not supported yet"))
    currency = _find_currency(tenant_id, document.get("currency_id"), faults)
    curve = None
    try:
        curve = rules.parse_curve(document.get("levels"), document.get("ranks"))
    except DocumentError as exc:
        faults += exc.faults
    if curve is not None:
        faults += _unknown_items(tenant_id, curve)
    if faults or currency is None or curve is None:
        raise DocumentError(faults)
    return currency, curve


def _find_currency(tenant_id: str, currency_id: Any, faults: list[Fault]) -> Currency | None:
    """Return the currency of this id, without one that with the role ``xp``."""
    found = Currency.objects.filter(tenant_id=tenant_id, is_active=True)
    wanted = {"role": "xp"} if currency_id is None else {"currency_id": str(currency_id)}
    currency = found.filter(**wanted).first()
    if currency is None:
        faults.append(Fault("currency_id", "must be a currency of the tenant"))
    elif currency.is_spendable:
        faults.append(Fault("currency_id", "must not be spendable: levels would fall with it"))
    return currency


def _unknown_items(tenant_id: str, curve: Curve) -> list[Fault]:
    wanted: dict[UUID, str] = {}
    for index, step in enumerate(curve.steps):
        wanted |= {pk: f"levels.{index}.item_ids.{n}" for n, pk in enumerate(step.item_ids)}
    for index, rank in enumerate(curve.ranks):
        wanted |= {pk: f"ranks.{index}.item_ids.{n}" for n, pk in enumerate(rank.item_ids)}
    items = RewardItem.objects.filter(tenant_id=tenant_id, pk__in=wanted, is_active=True)
    known = set(items.values_list("pk", flat=True))
    return [
        Fault(path, "must be a reward item of the tenant")
        for pk, path in wanted.items()
        if pk not in known
    ]


def _fill(ladder: Ladder, document: Mapping[str, Any]) -> None:
    ladder.currency, curve = parse_document(ladder.tenant_id, document)
    ladder.name = document["name"]
    ladder.levels = rules.levels_document(curve)
    ladder.ranks = rules.ranks_document(curve)
    ladder.is_active = bool(document.get("active", True))


def _lock(tenant_id: str, ladder_id: str) -> Ladder:
    Ladder.objects.select_for_update().filter(tenant_id=tenant_id, ladder_id=ladder_id).first()
    return selectors.get_ladder(tenant_id, ladder_id)


def _note(
    ladder: Ladder,
    *,
    before: Mapping[str, Any] | None,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> None:
    documents.note_change(
        ladder,
        kind=KIND,
        document=selectors.ladder_document(ladder),
        before=before,
        actor=actor,
        now=now,
        reason=reason,
    )


# --- Levels of players ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a player stands on a ladder; see ``PlayerLevel``."""

    level: int = 1
    highest: int = 1
    floor: int = 1


_FIRST: Final = Standing()


class LadderDesk:
    """The levels of a settlement's players, raised and lowered in memory, written at its end."""

    order: ClassVar[int] = 60

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._standings: dict[tuple[UUID, UUID], Standing] = {}
        self._changed: set[tuple[UUID, UUID]] = set()
        self._has_read = False

    def standing(self, player_id: UUID, ladder_pk: UUID) -> Standing:
        """Return where the player stands after everything so far. Queries: 1 the first time."""
        if not self._has_read:
            self._has_read = True
            self._read()
        return self._standings.get((player_id, ladder_pk), _FIRST)

    def move(
        self,
        player_id: UUID,
        ladder: LadderView,
        standing: Standing,
        cause: Cause,
        *,
        total: Decimal,
    ) -> None:
        """Let the player stand elsewhere: tell of every level and rank passed, give their items.

        ``total`` is what the player ever earned of the ladder's currency.
        What was given once for a level is not given again: levels up to the highest are passed
        in silence as far as items go, but for the events.
        """
        before = self.standing(player_id, ladder.pk)
        if standing == before:
            return
        self._standings[player_id, ladder.pk] = standing
        self._changed.add((player_id, ladder.pk))
        climb = _Climb(self._settlement, player_id, ladder, cause, total)
        if standing.level > before.level:
            climb.rise(before, standing)
        elif standing.level < before.level:
            climb.fall(before.level, standing.level)

    def write(self) -> None:
        """Write the levels that changed. Queries: 1."""
        if not self._changed:
            return
        keys = sorted(self._changed)
        standings = [self._standings[key] for key in keys]
        run(
            _WRITE,
            {
                "ladders": UuidArray(ladder_pk for _, ladder_pk in keys),
                "players": UuidArray(player_id for player_id, _ in keys),
                "levels": IntegerArray(standing.level for standing in standings),
                "highest": IntegerArray(standing.highest for standing in standings),
                "floors": IntegerArray(standing.floor for standing in standings),
                "times": TimeArray([self._settlement.now] * len(keys)),
            },
        )

    def _read(self) -> None:
        rows = PlayerLevel.objects.filter(player_id__in=list(self._settlement.facts))
        for player_id, ladder_pk, *levels in rows.values_list(
            "player_id", "ladder_id", "level", "highest_level", "floor_level"
        ):
            self._standings[player_id, ladder_pk] = Standing(*levels)


def follow_wallet(settlement: Settlement, change: WalletChange) -> None:
    """Let the levels follow a change of what a player ever earned (LVL-3, LVL-4)."""
    book = settlement.book(change.currency.tenant_id)
    desk = settlement.part(LadderDesk)
    for ladder in selectors.of(book).by_currency.get(change.currency.pk, ()):
        standing = desk.standing(change.player_id, ladder.pk)
        reached = ladder.curve.level_for(change.after)
        if change.after >= change.before:
            level = max(standing.level, reached)
        else:
            level = max(standing.floor, min(standing.level, reached))
        highest = max(standing.highest, level)
        desk.move(
            change.player_id,
            ladder,
            replace(standing, level=level, highest=highest),
            change.cause,
            total=change.after,
        )


class _Climb:
    """One player's way from level to level: its events and its items."""

    def __init__(
        self,
        settlement: Settlement,
        player_id: UUID,
        ladder: LadderView,
        cause: Cause,
        total: Decimal,
    ) -> None:
        self._settlement = settlement
        self._player_id = player_id
        self._ladder = ladder
        self._cause = cause
        self._total = total
        self._user_id = settlement.facts[player_id].external_id

    def rise(self, before: Standing, after: Standing) -> None:
        """Pass every level up to the new one, in order, and enter every rank on the way."""
        curve = self._ladder.curve
        ranks = defaultdict(list)
        for rank in rules.ranks_gained(curve, before.level, after.level):
            ranks[max(rank.first_level, before.level + 1)].append(rank)
        for level in rules.levels_gained(before.level, after.level):
            self._tell("level.reached", level, level - 1)
            if level > before.highest:
                self._give(f"{level}", curve.step(level).item_ids, {"level": level})
            for rank in ranks[level]:
                self._tell("rank.reached", level, level - 1)
                context = {"level": level, "rank_id": rank.rank_id}
                self._give(f"rank:{rank.rank_id}", rank.item_ids, context)

    def fall(self, before: int, after: int) -> None:
        """Tell of the level that is lost, and of the rank if it goes with it."""
        curve = self._ladder.curve
        self._tell("level.lost", after, before)
        if curve.rank_at(after) != curve.rank_at(before):
            self._tell("rank.lost", after, before)

    def _tell(self, name: str, level: int, previous: int) -> None:
        rank = self._ladder.curve.rank_at(level)
        attrs = {
            "ladder_id": self._ladder.ladder_id,
            "level": level,
            "previous_level": previous,
            "rank_id": rank.rank_id if rank else None,
            "total": plain_number(self._total),
        }
        cause = self._cause
        # The same cause moves a player over the same level once.
        step = uuid5(self._ladder.pk, f"{self._player_id} {level} {cause.kind} {cause.id}")
        self._settlement.emit(
            child_event(
                cause,
                name,
                event_id=f"{name}:{step}",
                user_id=self._user_id,
                attrs=attrs,
                occurred_at=cause.occurred_at or self._settlement.now,
            )
        )

    def _give(self, step: str, item_ids: tuple[UUID, ...], context: Mapping[str, Any]) -> None:
        if not item_ids:
            return
        book = self._settlement.book(self._cause.tenant_id)
        lines = [GrantLine(book.items[pk]) for pk in item_ids if pk in book.items]
        source_id = f"{self._ladder.ladder_id}:{step}"
        cause = replace(self._cause, source_type="level", source_id=source_id)
        self._settlement.part(GrantDesk).give(
            self._player_id, items=lines, cause=cause, context=context
        )
