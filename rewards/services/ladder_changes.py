"""What a changed curve does to the players of a ladder: told before, done by a job."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from django.db import transaction

from rewards.models import Ladder, PlayerLevel
from rewards.selectors import book as books
from rewards.selectors import ladders as selectors
from rewards.services.jobs import JobRun
from rewards.services.ladders import LadderDesk, Standing, parse_document
from rewards.services.pipe import settling
from rewards.types.causes import Cause
from rewards.types.ladders import Curve, LevelPreview

Policy = Literal["grandfather", "recompute"]

_PAGE: Final = 1000
_FIRST: Final = Standing()


@dataclass(frozen=True, slots=True)
class _Page:
    """Some players of a ladder, in the order of their wallets."""

    last_account: int
    totals: Mapping[UUID, Decimal]
    standings: Mapping[UUID, Standing]


def moved(standing: Standing, reached: int, policy: Policy) -> Standing:
    """Return where a player stands when the curve says ``reached``."""
    if policy == "recompute":
        return Standing(reached, max(standing.highest, reached), 1)
    level = max(standing.level, reached)
    floor = standing.level if reached < standing.level else standing.floor
    return Standing(level, max(standing.highest, level), max(standing.floor, floor))


def preview(run: JobRun) -> dict[str, Any]:
    """Tell what the job's document would do to the ladder's players; changes nothing (LVL-5).

    Parameters: ``ladder_id``, ``document`` and ``policy``. Returns the number of players who go
    ``up`` and ``down``, what the items of the new levels ``cost``, and a hash of all of it.
    """
    ladder = selectors.get_ladder(run.tenant_id, run.parameters["ladder_id"])
    _, curve = parse_document(run.tenant_id, run.parameters["document"])
    found = preview_curve(ladder, curve, run.parameters["policy"], tell=run.progress)
    return {
        "up": found.up,
        "down": found.down,
        "cost": found.cost,
        "result_hash": found.result_hash,
    }


def preview_curve(
    ladder: Ladder,
    curve: Curve,
    policy: Policy,
    *,
    tell: Callable[[float], None] = lambda _fraction: None,
) -> LevelPreview:
    """Return what ``curve`` would do to the ladder's players; reads every wallet once."""
    items = books.book_of(ladder.tenant_id).items
    costs = [_cost(step.item_ids, items) for step in curve.steps]
    digest = hashlib.sha256(f"{ladder.pk} {ladder.version} {policy}\n".encode())
    up = down = 0
    cost = Decimal(0)
    for page in _pages(ladder):
        for player_id, total in page.totals.items():
            before = page.standings.get(player_id, _FIRST)
            after = moved(before, curve.level_for(total), policy)
            if after.level == before.level:
                continue
            digest.update(f"{player_id} {before.level} {after.level}\n".encode())
            up += after.level > before.level
            down += after.level < before.level
            cost += sum(costs[before.highest : after.highest], Decimal(0))
        tell(0.5)
    return LevelPreview(up, down, cost, digest.hexdigest())


def apply(run: JobRun) -> dict[str, Any]:
    """Bring the ladder's players to the levels of its present curve, page by page.

    Parameters: ``ladder_id``, ``version`` and ``policy``. A newer version ends the job: its own
    job does the rest. Repeats: safe, a player who stands right already is left alone.
    """
    moves = int(run.checkpoint.get("moved", 0))
    account = int(run.checkpoint.get("account", 0))
    while True:
        with transaction.atomic():
            ladder = selectors.get_ladder(run.tenant_id, run.parameters["ladder_id"])
            if ladder.version != run.parameters["version"]:
                return {"moved": moves, "superseded_by": ladder.version}
            page = _read_page(ladder, account)
            if page is None:
                return {"moved": moves}
            moves += _apply_page(run, ladder, page)
            account = page.last_account
            run.save_checkpoint({"account": account, "moved": moves})


def _apply_page(run: JobRun, ladder: Ladder, page: _Page) -> int:
    view = selectors.ladder_view(ladder)
    policy: Policy = run.parameters["policy"]
    cause = Cause(
        tenant_id=run.tenant_id,
        source_type="level",
        source_id=ladder.ladder_id,
        kind="staff",
        id=f"job:{run.job_id}",
        actor=run.author,
        reason="changed curve",
    )
    moves = 0
    with settling(page.totals, now=run.clock()) as settlement:
        desk = settlement.part(LadderDesk)
        totals = selectors.lifetime_totals(page.totals, ladder.currency_id)
        for player_id, total in totals.items():
            before = desk.standing(player_id, view.pk)
            after = moved(before, view.curve.level_for(total), policy)
            moves += after.level != before.level
            desk.move(player_id, view, after, cause, total=total)
    return moves


def _pages(ladder: Ladder) -> Iterator[_Page]:
    page = _read_page(ladder, 0)
    while page is not None:
        yield page
        page = _read_page(ladder, page.last_account)


def _read_page(ladder: Ladder, account: int) -> _Page | None:
    rows = selectors.wallets_after(ladder.currency_id, account, _PAGE)
    if not rows:
        return None
    totals = {player_id: total for _, player_id, total in rows}
    levels = PlayerLevel.objects.filter(ladder_id=ladder.pk, player_id__in=totals).values_list(
        "player_id", "level", "highest_level", "floor_level"
    )
    standings = {player_id: Standing(*found) for player_id, *found in levels}
    return _Page(rows[-1][0], totals, standings)


def _cost(item_ids: tuple[UUID, ...], items: Mapping[UUID, Any]) -> Decimal:
    return sum((items[pk].unit_cost for pk in item_ids if pk in items), Decimal(0))
