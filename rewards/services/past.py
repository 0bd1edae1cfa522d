"""Applying a rule to the past: the exact result of a backtest, given to whoever never got it.

The backtest is run again first; only when its result is the one that was confirmed does anything
happen. Then its firings are written by the consumer's own desk, a page at a time, each with the
job's checkpoint in one transaction. What limits, budget and balance leave at that moment still
counts: nobody gets more by this than the rule allows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import DataError, IntegrityError, transaction

from ingestion import selectors as ingestion
from ingestion.types import StoredEvent
from phoenix_site.common.exceptions import DomainError, UnavailableError
from phoenix_site.common.logging import get_logger
from players.services.registration import ensure_players
from rewards.exceptions import StateConflictError
from rewards.models import Rule
from rewards.models.jobs import Job
from rewards.rules.backtest_questions import PastOrder, question_of, read_order
from rewards.selectors import backtests as selectors
from rewards.selectors import rules as rule_selectors
from rewards.services import backtests, jobs, rule_uses, rules
from rewards.services.jobs import JobRun
from rewards.services.pipe import settling
from rewards.services.rule_desk import RuleDesk
from rewards.services.settlement import Settlement
from rewards.types.rules import CompiledRule, Move, Verdict
from tenants.types import Actor

__all__ = ["apply_to_past", "run"]

log = get_logger(__name__)

_PAGE: Final = 500


@transaction.atomic
def apply_to_past(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Job:
    """Start the job that gives what a backtest said, where no version of the rule fired (RUL-16).

    Raises: ``NotFoundError`` without rule or backtest, ``DocumentError``, ``StateConflictError``
    when the backtest is not done, has another result or version, or the rule may not be applied.
    Repeats: a second job finds nothing more to give. Locks: the rule.
    """
    order = read_order(document)
    rule = rules.lock_rule(tenant_id, rule_id)
    backtest = selectors.get_backtest(tenant_id, order.backtest_id)
    _check(rule, backtest, order)
    parameters = {
        "rule_id": rule.rule_id,
        "version": order.version,
        "backtest_id": order.backtest_id,
        "result_hash": order.result_hash,
        "reason": order.reason,
        "backtest": backtest.parameters,
    }
    job = jobs.enqueue(tenant_id, selectors.APPLY_PAST, parameters, actor.label, now)
    after = {"job_id": job.id_text, "version": order.version, "result_hash": order.result_hash}
    rules.record("rule.applied_to_past", rule, {}, after, actor=actor, now=now, reason=order.reason)
    return job


def _check(rule: Rule, backtest: Job, order: PastOrder) -> None:
    asked = backtest.parameters
    if (asked["rule_id"], asked["version"]) != (rule.rule_id, order.version):
        raise StateConflictError("The backtest is of another rule or version.")
    if backtest.status != Job.Status.DONE:
        raise StateConflictError(f"The backtest is {backtest.status}, not done.")
    if backtest.result.get("result_hash") != order.result_hash:
        raise StateConflictError("The backtest has another result.")
    _check_rule(rule, order.version)


def _check_rule(rule: Rule, number: int) -> None:
    if rule.status == Rule.Status.ARCHIVED:
        raise StateConflictError("The rule is archived: that is final.")
    version = rule_selectors.get_version(rule, number)
    if version.published_at is None:
        raise StateConflictError(f"Version {number} is a draft: it was never published.")
    if rule.active_version is None:
        return
    active = rule_selectors.get_version(rule, rule.active_version)
    if active.document["timezone"] != version.document["timezone"]:
        # Uses are counted by the days of one zone.
        raise StateConflictError("The version in force counts its days in another time zone.")


# --- The job -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Done:
    """What was done so far; ``place`` is how many of the backtest's firings were looked at."""

    place: int = 0
    granted: int = 0
    already_fired: int = 0
    failed: int = 0
    cost: Decimal = Decimal(0)
    credited: dict[str, Decimal] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any]) -> "_Done":
        """Return what the last attempt left."""
        kept = dict(checkpoint)
        credited = {name: Decimal(text) for name, text in kept.pop("credited", {}).items()}
        cost, refused = Decimal(kept.pop("cost", 0)), Counter(kept.pop("refused", {}))
        return cls(**kept, cost=cost, credited=credited, refused=refused)

    def checkpoint(self) -> dict[str, Any]:
        """Return it as ``read`` takes it; amounts are exact as text."""
        return {
            "place": self.place,
            "granted": self.granted,
            "already_fired": self.already_fired,
            "failed": self.failed,
            "cost": str(self.cost),
            "credited": {name: str(amount) for name, amount in self.credited.items()},
            "refused": dict(self.refused),
        }

    def result(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return it as the job shows it."""
        return {
            "backtest_id": parameters["backtest_id"],
            "version": parameters["version"],
            "granted": self.granted,
            "already_fired": self.already_fired,
            "failed": self.failed,
            "cost": self.cost,
            "credited": [
                {"currency_id": name, "amount": amount}
                for name, amount in sorted(self.credited.items())
            ],
            "refused": dict(sorted(self.refused.items())),
        }

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        if verdict.reason is not None:
            self.refused[verdict.reason] += 1
            return
        self.granted += 1
        self.cost += verdict.cost
        for planned in verdict.effects:
            effect = planned.effect
            if isinstance(effect, Move) and effect.type == "credit":
                so_far = self.credited.get(effect.currency_id, Decimal(0))
                self.credited[effect.currency_id] = so_far + planned.amount

    def copy(self) -> "_Done":
        """Return one that may be changed and thrown away."""
        return _Done.read(self.checkpoint())


def run(job: JobRun) -> dict[str, Any]:
    """Run the backtest again and, if its result is the confirmed one, give what it says.

    Repeats: what an attempt did before it was lost is not done again: the checkpoint says how far
    it came, and where the rule fired it gives nothing. Raises: ``StateConflictError`` when the
    result is another one by now; what was given before that stays.
    """
    outcome = backtests.simulate(
        job.tenant_id,
        question_of(job.parameters["backtest"]),
        now=job.clock(),
        tell=lambda fraction: job.progress(max(job.fraction, Decimal(fraction) / 2)),
    )
    if outcome.report["result_hash"] != job.parameters["result_hash"]:
        raise StateConflictError("The backtest comes to another result by now: look at it again.")
    rule = rule_selectors.get_rule(job.tenant_id, job.parameters["rule_id"])
    _check_rule(rule, job.parameters["version"])
    work = _Work(
        rule_selectors.compiled_version(rule, job.parameters["version"]),
        len(outcome.events),
    )
    done = _Done.read(job.checkpoint)
    while done.place < work.total:
        done = _apply(job, work, outcome.events[done.place : done.place + _PAGE].tolist(), done)
    return done.result(job.parameters)


@dataclass(frozen=True, slots=True)
class _Work:
    """The version to apply, and for how many events it is to fire."""

    rule: CompiledRule
    total: int


def _apply(job: JobRun, work: _Work, rows: Sequence[int], before: _Done) -> _Done:
    """Do one step in one transaction; one that fails is done in smaller ones."""
    try:
        with transaction.atomic():
            done = before.copy()
            _grant(job, work, rows, done)
            _save(job, work, done, len(rows))
    except UnavailableError:
        raise
    except (DomainError, DataError, IntegrityError) as exc:
        if len(rows) > 1:
            half = len(rows) // 2
            middle = _apply(job, work, rows[:half], before)
            return _apply(job, work, rows[half:], middle)
        log.exception("rule.past_event_failed", event_row=rows[0], error=type(exc).__name__)
        done = before.copy()
        done.failed += 1
        with transaction.atomic():
            _save(job, work, done, 1)
    return done


def _save(job: JobRun, work: _Work, done: _Done, count: int) -> None:
    done.place += count
    fraction = 0.5 + done.place / work.total / 2
    job.save_checkpoint(done.checkpoint(), fraction=fraction, result=done.result(job.parameters))


def _grant(job: JobRun, work: _Work, rows: Sequence[int], done: _Done) -> None:
    """Let the rule judge these events again, with the players locked, where it never fired."""
    now = job.clock()
    found = ingestion.events_by_row_id_across_tenants(rows)
    events = [found[row] for row in rows if row in found]
    ids = ensure_players({_key(event) for event in events}, now=now)
    budgets = rule_uses.lock_budgets([work.rule])
    with settling(set(ids.values()), now=now) as settlement:
        # Under the locks: nobody else can fire for these players meanwhile.
        fired = selectors.fired_rules(rows, work.rule)
        waiting = _waiting(work, events, fired, done)
        desk = settlement.part(RuleDesk)
        desk.is_retroactive = True
        desk.prepare([(event, ids[_key(event)], [work.rule]) for event in waiting], budgets)
        for event in waiting:
            _judge(settlement, work.rule, event, ids[_key(event)], done)


def _waiting(
    work: _Work,
    events: Sequence[StoredEvent],
    fired: Mapping[int, frozenset[UUID]],
    done: _Done,
) -> list[StoredEvent]:
    """Return the events for which neither the rule nor another one of its group fired."""
    waiting: list[StoredEvent] = []
    for event in events:
        rules_fired = fired.get(event.id, frozenset())
        if work.rule.pk in rules_fired:
            done.already_fired += 1
        elif rules_fired:
            done.refused["group_lost"] += 1
        else:
            waiting.append(event)
    return waiting


def _judge(
    settlement: Settlement, rule: CompiledRule, event: StoredEvent, player_id: UUID, done: _Done
) -> None:
    verdicts = settlement.part(RuleDesk).judge(event, event.root, [rule], player_id)
    for verdict in verdicts:
        done.add(verdict)
    if not verdicts:
        done.refused["conditions_not_met"] += 1
    settlement.follow()


def _key(event: StoredEvent) -> tuple[str, str]:
    return (event.tenant_id, str(event.user_id))
