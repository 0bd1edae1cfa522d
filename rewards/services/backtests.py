"""Backtests: what a version of a rule would have done; a job that writes nothing but its report."""

import gc
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ingestion import selectors as ingestion
from phoenix_site.common.logging import get_logger
from phoenix_site.common.times import format_utc
from rewards.models import Rule
from rewards.models.jobs import Job
from rewards.rules.backtest_questions import parameters_of, question_of, read_question
from rewards.rules.backtesting import Simulation, event_types, reads_money, reads_player
from rewards.selectors import backtests as selectors
from rewards.selectors import rules as rule_selectors
from rewards.selectors.book import book_of
from rewards.services import jobs
from rewards.services.jobs import JobRun
from rewards.types.backtests import BacktestQuestion, Cast
from rewards.types.book import Book
from rewards.types.rules import CompiledRule, GrantConfig, GrantItem, Move
from tenants.types import Actor

__all__ = ["Outcome", "run", "simulate", "start_backtest"]

log = get_logger(__name__)

_TODAY: Final = "segments and profiles as of today"
_NOT_FOLLOWED: Final = "what the firings would have led to is not followed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A report, and the rows of the events that the version fired for, in the order of the log."""

    report: dict[str, Any]
    events: "array[int]"


def start_backtest(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Job:
    """Start the job that runs a version of the rule over the events of a period (RUL-18).

    Raises: ``NotFoundError`` without the rule or a version, ``DocumentError`` with every fault.
    """
    rule = rule_selectors.get_rule(tenant_id, rule_id)
    question = read_question(rule.rule_id, document)
    for version in _versions(question):
        rule_selectors.get_version(rule, version)
    return jobs.enqueue(tenant_id, selectors.BACKTEST, parameters_of(question), actor.label, now)


def run(job: JobRun) -> dict[str, Any]:
    """Do the backtest of a job; the result is its report."""
    outcome = simulate(
        job.tenant_id, question_of(job.parameters), now=job.clock(), tell=job.progress
    )
    return {"backtest_id": job.job_id, **outcome.report}


def simulate(
    tenant_id: str,
    question: BacktestQuestion,
    *,
    now: datetime,
    tell: Callable[[float], None] = lambda _fraction: None,
) -> Outcome:
    """Run the versions over the period, page by page, and return what would have come of it.

    ``tell`` hears after each page how much is done, from 0 to 1, and may raise to end it.

    Repeats: the same input has the same hash of the result, at any time. Writes nothing.
    Raises: ``NotFoundError`` when the rule or a version is gone.
    """
    rule, book = rule_selectors.get_rule(tenant_id, question.rule_id), book_of(tenant_id)
    since = question.since if question.start == "as_of" else None
    casts = [
        selectors.cast_of(rule, version, book, now=now, since=since)
        for version in _versions(question)
    ]
    simulation = Simulation(
        casts,
        book,
        _people(casts, book, now=now, since=since),
        definition=_definition(rule, question, casts, book),
    )
    _feed(simulation, tenant_id, question, casts, tell)
    report = {
        **parameters_of(question),
        **simulation.report(),
        "notes": _notes(question, casts, simulation),
    }
    return Outcome(report, simulation.tally.events)


def _versions(question: BacktestQuestion) -> list[int]:
    return [number for number in (question.version, question.compare_to) if number is not None]


def _people(
    casts: Iterable[Cast], book: Book, *, now: datetime, since: datetime | None
) -> selectors.TodaysPeople:
    rules = [rule for cast in casts for rule in cast.rules]
    return selectors.TodaysPeople(
        book.tenant_id,
        now=now,
        keeps_documents=bool(reads_player(rules)),
        currencies=[
            (currency_id, book.currencies[currency_id].pk)
            for currency_id in reads_money(rules)
            if currency_id in book.currencies
        ],
        since=since,
    )


def _feed(
    simulation: Simulation,
    tenant_id: str,
    question: BacktestQuestion,
    casts: Iterable[Cast],
    tell: Callable[[float], None],
) -> None:
    types, prefixes = event_types(casts)
    with ingestion.events_of_period(
        tenant_id,
        types=types,
        prefixes=prefixes,
        occurred_from=question.since,
        occurred_to=question.until,
    ) as pages:
        tell(0)
        for page in pages:
            with _collecting_later():
                simulation.feed(page)
            tell(simulation.events_read / pages.count)


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Keep the garbage collector out of a page: most of what it makes lives to the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _definition(
    rule: Rule, question: BacktestQuestion, casts: Iterable[Cast], book: Book
) -> dict[str, Any]:
    """Return all that was chosen and configured: a part of what makes the hash of the input."""
    versions = rule.versions.filter(number__in=_versions(question)).order_by("number")
    rules = {each for cast in casts for each in cast.rules}
    return {
        "tenant_id": rule.tenant_id,
        **parameters_of(question),
        "documents": list(versions.values_list("document", flat=True)),
        "group": sorted({f"{mate.rule_id} {mate.version}" for c in casts for mate in c.mates}),
        "prices": sorted({line for each in rules for line in _prices(each, book)}),
    }


def _prices(rule: CompiledRule, book: Book) -> Iterable[str]:
    for effect in rule.effects:
        if isinstance(effect, Move) and effect.currency_id in book.currencies:
            view = book.currencies[effect.currency_id]
            cost = f"{view.unit_cost.normalize():f}"
            yield f"{view.currency_id} {cost} {view.decimal_places} {view.is_spendable}"
        elif isinstance(effect, GrantItem | GrantConfig):
            yield from _item_prices(effect, book)


def _item_prices(effect: GrantItem | GrantConfig, book: Book) -> Iterable[str]:
    if isinstance(effect, GrantItem):
        item_ids = [effect.item_id]
    else:
        config = book.configs.get(effect.config_id)
        tiers = () if config is None else config.tiers
        yield f"{effect.config_id} {tiers}"
        item_ids = [item_id for tier in tiers for item_id in tier.item_ids]
    for item_id in item_ids:
        item = book.items.get(item_id)
        yield f"{item_id} {None if item is None else f'{item.unit_cost.normalize():f}'}"


def _notes(question: BacktestQuestion, casts: Iterable[Cast], simulation: Simulation) -> list[str]:
    """Return what whoever reads the report has to know of it."""
    casts = list(casts)
    began = "nothing" if question.start == "empty" else f"the state at {format_utc(question.since)}"
    notes = [
        _TODAY,
        _NOT_FOLLOWED,
        f"limits, budget and wallets begin with {began}",
        "costs are those of today's items and currencies",
    ]
    mates = sorted({mate.rule_id for cast in casts for mate in cast.mates})
    if mates:
        notes.append(f"the other active rules of the group take part: {', '.join(mates)}")
    if reads_money([rule for cast in casts for rule in cast.rules]):
        notes.append("wallets move by these rules alone")
    if simulation.tally.outside_dates:
        count = simulation.tally.outside_dates
        notes.append(f"{count} events occurred outside the dates of version {question.version}")
    if simulation.history:
        notes.append(f"{simulation.history} events are imported history, for which no rule fires")
    return notes
