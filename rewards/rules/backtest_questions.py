"""What is asked for when a backtest is started, and when its result is applied."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast, get_args
from uuid import UUID

from phoenix_site.common.documents import Section
from phoenix_site.common.faults import Fault
from phoenix_site.common.times import format_utc
from rewards.exceptions import DocumentError
from rewards.rules.rule_effects import read_uuid
from rewards.types.backtests import BacktestQuestion, Start

__all__ = ["PastOrder", "parameters_of", "question_of", "read_order", "read_question"]

_MOST_VERSIONS: Final = 2**31 - 1
_MAX_REASON: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PastOrder:
    """Which result of a backtest is to be applied."""

    version: int
    backtest_id: UUID
    result_hash: str
    reason: str


def read_question(rule_id: str, document: Mapping[str, Any]) -> BacktestQuestion:
    """Return what a request asks for. Raises: ``DocumentError`` with every fault."""
    faults: list[Fault] = []
    keys = ("version", "compare_to", "from", "to", "start", "segment_id")
    section = Section(document, "", faults, keys=keys)
    if section.has("segment_id"):
        section.refuse("segment_id", "not supported yet")
    since, until = _instant(section, "from"), _instant(section, "to")
    if not faults and until <= since:
        section.refuse("to", "must be later than from")
    question = BacktestQuestion(
        rule_id=rule_id,
        version=_version(section, "version"),
        compare_to=_version(section, "compare_to") if section.has("compare_to") else None,
        since=since,
        until=until,
        start=cast(Start, section.choice("start", get_args(Start), "empty")),
    )
    if not faults and question.compare_to == question.version:
        section.refuse("compare_to", "must be another version")
    if faults:
        raise DocumentError(faults)
    return question


def _instant(section: Section, key: str) -> datetime:
    section.require(key)
    return section.instant(key) or _EPOCH


def _version(section: Section, key: str) -> int:
    section.require(key)
    return section.integer(key, 1, low=1, high=_MOST_VERSIONS)


def parameters_of(question: BacktestQuestion) -> dict[str, Any]:
    """Return the question as a job keeps it; ``question_of`` reads it back."""
    return {
        "rule_id": question.rule_id,
        "version": question.version,
        "compare_to": question.compare_to,
        "from": format_utc(question.since),
        "to": format_utc(question.until),
        "start": question.start,
    }


def question_of(parameters: Mapping[str, Any]) -> BacktestQuestion:
    """Return the question that a job keeps."""
    document = {key: value for key, value in parameters.items() if key != "rule_id"}
    return read_question(parameters["rule_id"], document)


def read_order(document: Mapping[str, Any]) -> PastOrder:
    """Return what is to be applied. Raises: ``DocumentError`` with every fault."""
    faults: list[Fault] = []
    section = Section(
        document, "", faults, keys=("version", "backtest_id", "result_hash", "reason")
    )
    version = _version(section, "version")
    backtest_id = read_uuid(section, "backtest_id")
    result_hash, reason = section.raw("result_hash"), section.raw("reason")
    if section.require("result_hash") and not isinstance(result_hash, str):
        section.refuse("result_hash", "must be a string")
    if reason is not None and not (isinstance(reason, str) and len(reason) <= _MAX_REASON):
        section.refuse("reason", f"must be a text of at most {_MAX_REASON} characters")
    if faults:
        raise DocumentError(faults)
    return PastOrder(version, backtest_id, str(result_hash), reason or "")
