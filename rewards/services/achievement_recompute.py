"""Achievements counted anew over the stored events: told before, then applied (ACH-4).

A preview reads log and progress in one snapshot. Applying holds the consumer, counts again, and
goes on only if the result is what was previewed; it stores every player's progress in that one
transaction, with the unlocks that are owed, and gives those afterwards in small steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from phoenix_site.common.documents import Section
from phoenix_site.common.faults import Fault
from phoenix_site.common.logging import get_logger
from phoenix_site.common.times import format_utc, parse_rfc3339
from players.selectors import facts_for
from players.services.registration import ensure_players
from rewards.exceptions import DocumentError, StateConflictError
from rewards.models import Achievement, Job
from rewards.rules import recounts as rules
from rewards.rules.achievements import AchievementView, takes_progress
from rewards.rules.items import item_cost
from rewards.selectors import achievements as selectors
from rewards.selectors import recounts
from rewards.selectors.book import book_of
from rewards.services import documents, jobs
from rewards.services.achievement_desk import AchievementDesk, items_of
from rewards.services.achievement_staff import Taken, revoke_unlocks
from rewards.services.achievement_store import Key, Value, write_states
from rewards.services.consumer_hold import hold_consumer
from rewards.services.jobs import JobRun
from rewards.services.participants import lock_participants
from rewards.services.pipe import settling
from rewards.types.achievements import Held, Outcome, ProgressState, Recount
from rewards.types.causes import Cause
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["request_recompute", "run_recompute"]

log = get_logger(__name__)

_SAMPLE: Final = 100
_CHUNK: Final = 2000
_STEP: Final = 200
_TELL_EVERY: Final = 20_000
_NOBODY: Final = Held(ProgressState())
_KEYS: Final = ("mode", "from", "result_hash", "revoke")


# --- Asking for it -------------------------------------------------------------------------------


def request_recompute(
    tenant_id: str,
    achievement_id: UUID,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> Job:
    """Enqueue a preview, or the application of one.

    ``document`` is ``{"mode": "preview", "from"}`` or ``{"mode": "apply", "result_hash",
    "revoke"}``. Applying takes what ``from`` was in the preview.

    Raises: ``NotFoundError``, ``DocumentError``; ``StateConflictError`` for an archived
    achievement, and for a hash of no preview of its present version.
    Repeats: the same result is applied by one job, which is returned again.
    """
    row = selectors.get_achievement(tenant_id, achievement_id)
    parameters = _read_request(document)
    if not row.is_active:
        raise StateConflictError("The achievement is archived.")
    parameters |= {"achievement_id": str(row.pk), "version": row.version}
    if parameters["mode"] == "preview":
        return jobs.enqueue(tenant_id, recounts.KIND, parameters, actor.label, now)
    return _request_apply(row, parameters, actor=actor, now=now)


@transaction.atomic
def _request_apply(
    row: Achievement, parameters: dict[str, Any], *, actor: Actor, now: datetime
) -> Job:
    # Of two requests at once one waits here and finds the job of the other.
    Achievement.objects.select_for_update().get(pk=row.pk)
    result_hash, revoke = parameters["result_hash"], parameters["revoke"]
    present = recounts.find_apply(row.pk, result_hash, revoke=revoke)
    if present is not None:
        return present
    preview = recounts.find_preview(row.pk, result_hash)
    if preview is None or preview.parameters["version"] != row.version:
        raise StateConflictError("That is not the result of a preview of the present version.")
    parameters["from"] = preview.parameters["from"]
    job = jobs.enqueue(str(row.tenant_id), recounts.KIND, parameters, actor.label, now)
    audit.record(
        "achievement.recomputed",
        actor=actor,
        now=now,
        tenant_id=str(row.tenant_id),
        change=AuditChange("achievement", str(row.pk), row.name, after={"revoke": revoke}),
    )
    return job


def _read_request(document: Mapping[str, Any]) -> dict[str, Any]:
    faults: list[Fault] = []
    section = Section(document, "", faults, keys=_KEYS)
    mode = section.choice("mode", ("preview", "apply"), "preview")
    since = section.instant("from") if mode == "preview" else None
    result_hash, revoke = section.raw("result_hash"), section.raw("revoke")
    if mode == "apply":
        if section.require("result_hash") and not isinstance(result_hash, str):
            section.refuse("result_hash", "must be a text")
        if section.has("from"):
            section.refuse("from", "is that of the preview")
    elif section.has("result_hash") or section.has("revoke"):
        section.refuse("mode", "must be apply where result_hash or revoke is given")
    if revoke is not None and not isinstance(revoke, bool):
        section.refuse("revoke", "must be true or false")
    if faults:
        raise DocumentError([Fault(each.path.lstrip("."), each.message) for each in faults])
    parameters: dict[str, Any] = {
        "mode": mode,
        "from": None if since is None else format_utc(since),
    }
    if mode == "apply":
        parameters |= {"result_hash": result_hash, "revoke": bool(revoke)}
    return parameters


# --- The job -------------------------------------------------------------------------------------


def run_recompute(run: JobRun) -> dict[str, Any]:
    """Do the work of a job of this kind; see ``request_recompute`` for its parameters."""
    if run.parameters["mode"] == "preview":
        return _preview(run)
    if not run.checkpoint:
        _store_progress(run)
    return _give_owed(run)


@dataclass(frozen=True, slots=True)
class _Line:
    """One player of a recompute; ``is_blocked`` ones are left as they are."""

    user_id: str
    counted: Recount
    held: Held
    due: int
    is_waiting: bool = False
    is_blocked: bool = False

    @property
    def outcome(self) -> Outcome | None:
        """Return what the preview says of the player, if anything."""
        due = 0 if self.is_waiting or self.is_blocked else self.due
        return Outcome(self.user_id, due, self.counted.whole) if due else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What counting anew finds, for all players."""

    view: AchievementView
    lines: Sequence[_Line]
    result: Mapping[str, Any] = field(default_factory=dict)


@transaction.atomic
def _preview(run: JobRun) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    row = _find_row(run)
    return dict(_make_plan(run, row, _count(run, row)).result)


def _find_row(run: JobRun) -> Achievement:
    row = selectors.get_achievement(run.tenant_id, UUID(run.parameters["achievement_id"]))
    if row.version != run.parameters["version"]:
        raise StateConflictError("The achievement was changed meanwhile.")
    return row


def _count(run: JobRun, row: Achievement) -> dict[str, Recount]:
    """Return the recount of every player whom an event or a number concerns."""
    view, now = selectors.achievement_view(row), run.clock()
    found: dict[str, Recount] = {}
    if not takes_progress(view.measure):
        for user_id, best, present in recounts.numbers(view, run.tenant_id):
            found[user_id] = rules.recount_number(view, best, present, now)
        return found
    since = run.parameters["from"]
    events = recounts.contributions(
        view, run.tenant_id, since=None if since is None else parse_rfc3339(since)
    )
    for number, (user_id, contribution) in enumerate(events):
        if number % _TELL_EVERY == 0:
            run.progress(0)
        if contribution is not None:
            if user_id not in found:
                found[user_id] = rules.begin_recount(view)
            rules.recount(view, found[user_id], contribution, now)
    return found


def _make_plan(run: JobRun, row: Achievement, counted: dict[str, Recount]) -> _Plan:
    view = selectors.achievement_view(row)
    held = recounts.held_by_players(row.pk)
    lines: list[_Line] = []
    for user_id in sorted(counted.keys() | held.keys()):
        has = held.get(user_id, _NOBODY)
        found = counted.get(user_id) or rules.begin_recount(view)
        if has.forfeited:
            continue
        if has.state.epoch == view.epoch:
            rules.add_kept(view, found, has.state.added, run.clock())
        lines.append(_Line(user_id, found, has, rules.unlocks_due(view, found, has)))
    lines = _with_obstacles(run, view, lines)
    return _Plan(view, lines, _result_of(run, view, lines))


def _with_obstacles(run: JobRun, view: AchievementView, lines: list[_Line]) -> list[_Line]:
    """Say who of those who would gain is blocked, and who still misses something required."""
    gaining = [line.user_id for line in lines if line.due > 0]
    ready = recounts.players_with_all(run.tenant_id, gaining, view.requires)
    facts = facts_for([(run.tenant_id, user_id) for user_id in gaining], now=run.clock())
    blocked = {
        user_id
        for (_, user_id), each in facts.items()
        if each.is_opted_out or each.is_blocked("rewards")
    }
    return [
        line
        if line.due <= 0
        else _Line(
            line.user_id,
            line.counted,
            line.held,
            line.due,
            is_waiting=line.user_id not in ready,
            is_blocked=line.user_id in blocked,
        )
        for line in lines
    ]


def _result_of(run: JobRun, view: AchievementView, lines: Sequence[_Line]) -> dict[str, Any]:
    outcomes = [line.outcome for line in lines]
    changes = [outcome for outcome in outcomes if outcome is not None]
    book = book_of(run.tenant_id)
    cost = sum((item_cost(item, book) for item in items_of(book, view)), Decimal(0))
    unlocks = sum(max(each.unlocks, 0) for each in changes)
    header = (view.pk, run.parameters["version"], run.parameters["from"])
    return {
        "gain": sum(each.unlocks > 0 for each in changes),
        "lose": sum(each.unlocks < 0 for each in changes),
        "unlocks": unlocks,
        "cost": cost * unlocks,
        "sample": [each.as_dict() for each in changes[:_SAMPLE]],
        "result_hash": rules.hash_outcomes(header, changes),
        "notes": ["players who are blocked, or miss what is required, as of today"],
    }


# --- Applying ------------------------------------------------------------------------------------


@transaction.atomic
def _store_progress(run: JobRun) -> None:
    """Count again, and store what every player has and is owed.

    The consumer stands still: what is counted here is exactly what it has passed.
    """
    now = run.clock()
    hold_consumer(now)
    Achievement.objects.select_for_update().filter(
        pk=run.parameters["achievement_id"], tenant=run.tenant_id
    ).first()
    row = _find_row(run)
    counted = _count(run, row)
    known = ensure_players([(run.tenant_id, user_id) for user_id in counted], now=now)
    lock_participants([*known.values(), *recounts.players_with_progress(row.pk)], now=now)
    plan = _make_plan(run, row, counted)
    if plan.result["result_hash"] != run.parameters["result_hash"]:
        raise StateConflictError("The result is no longer what was previewed.")
    _write_lines(run, plan, now)
    # All that was received so far is counted: what the consumer has not passed yet must be too.
    Achievement.objects.filter(pk=row.pk).update(counts_from=None)
    documents.bump(run.tenant_id)
    run.save_checkpoint({"given": 0, "revoked": 0}, fraction=0.5, result=plan.result)


def _write_lines(run: JobRun, plan: _Plan, now: datetime) -> None:
    lines = [line for line in plan.lines if _is_stored(run, plan.view, line)]
    for start in range(0, len(lines), _CHUNK):
        chunk = lines[start : start + _CHUNK]
        keys = [(run.tenant_id, line.user_id) for line in chunk]
        ids = ensure_players(keys, now=now)
        states: dict[Key, ProgressState] = {}
        values: list[Value] = []
        for line, key in zip(chunk, keys, strict=True):
            owed = 0 if line.is_waiting else line.due
            state = rules.new_state(
                plan.view, line.counted, line.held, owed=owed, is_waiting=line.is_waiting
            )
            states[ids[key], plan.view.pk] = state
            kept = rules.values_to_keep(plan.view, line.counted, is_waiting=line.is_waiting)
            values += [(ids[key], plan.view.pk, state.run, value) for value in kept]
        write_states(states, values=values, forget_runs=list(states), now=now)


def _is_stored(run: JobRun, view: AchievementView, line: _Line) -> bool:
    if line.is_blocked:
        return False
    if line.due < 0:
        return bool(run.parameters["revoke"])
    return line.due > 0 or rules.is_further(view, line.counted, line.held)


def _give_owed(run: JobRun) -> dict[str, Any]:
    """Give and take what is owed, some players at a time."""
    achievement_id = UUID(run.parameters["achievement_id"])
    job = Job.objects.get(pk=run.job_id)
    given, revoked = int(run.checkpoint["given"]), int(run.checkpoint["revoked"])
    while True:
        with transaction.atomic():
            players = recounts.owed_players(achievement_id, limit=_STEP)
            if not players:
                break
            step = _give_step(run, achievement_id, players)
            given, revoked = given + step[0], revoked + step[1]
            run.save_checkpoint({"given": given, "revoked": revoked})
    log.info("achievement.recomputed", achievement=achievement_id.hex, given=given)
    return {**job.result, "given": given, "revoked": revoked}


def _give_step(run: JobRun, achievement_id: UUID, players: Sequence[UUID]) -> tuple[int, int]:
    cause = Cause(
        tenant_id=run.tenant_id,
        source_type="achievement",
        source_id=str(achievement_id),
        kind="staff",
        id=f"job:{run.job_id}",
        actor=run.author,
        reason="recomputed",
    )
    given = revoked = 0
    with settling(players, now=run.clock()) as settlement:
        view = selectors.of(settlement.book(run.tenant_id)).by_id[achievement_id]
        desk = settlement.part(AchievementDesk)
        for player_id in players:
            owed = desk.state(player_id, view).owed
            if owed > 0:
                given += desk.pay_owed(player_id, view, cause)
            elif owed < 0:
                taken = Taken(run.author, "recomputed", by_staff=False)
                revoke_unlocks(settlement, player_id, view, count=-owed, taken=taken)
                revoked -= owed
    return given, revoked
