"""Backtests of rules, on the admin gateway."""

from typing import Any, Final

from phoenix_site.reference.collections import ADMIN_ERRORS, BODY_ERRORS, KEY_ERRORS
from phoenix_site.reference.types import Key, Operation

_ERRORS: Final = (*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS)
_BACKTEST_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000031"
_QUEUED: Final[dict[str, Any]] = {"job_id": _BACKTEST_ID, "status": "queued"}
_APPLYING: Final[dict[str, Any]] = {
    "job_id": "0198a1b2-c3d4-7e5f-8a6b-000000000032",
    "status": "queued",
}


def _operations(place: str, ending: str) -> dict[Key, Operation]:
    rule = f"{place}/{{rule_id}}"
    return {
        ("post", f"{rule}/backtests"): Operation(
            id=f"startBacktest{ending}",
            summary="Backtest a version of a rule",
            description="Runs the version, and the one in `compare_to`, over the events that "
            "occurred in the period, imported history too, in the order of the log. Nothing is "
            "given. The job's `result` is the report: `events_read`, `events_matched`, `firings`, "
            "`players`, `cost`, `credited`, `items`, `refused` by reason, `budget_reached_at`, "
            "`per_day` (days of the rule's zone), `top_recipients`, `diff` (first the version in "
            "`compare_to`), `notes`, `input_hash` and `result_hash`. The same input has the same "
            "`result_hash`.",
            errors=_ERRORS,
            request={
                "version": 5,
                "compare_to": 4,
                "from": "2026-11-01T00:00:00Z",
                "to": "2026-11-15T00:00:00Z",
                "start": "empty",
            },
            answer=_QUEUED,
        ),
        ("post", f"{rule}/apply-to-past"): Operation(
            id=f"applyToPast{ending}",
            summary="Give what a backtest found",
            description="For a published version. The job runs the backtest again and fails with "
            "`STATE_CONFLICT` when its result is another one by now. It gives for those events "
            "only for which no version of the rule ever fired, marked as retroactive, within "
            "what limits and budget leave. Its `result` has `granted`, `already_fired`, "
            "`refused` by reason, `cost` and `credited`.",
            errors=(*_ERRORS, "STATE_CONFLICT"),
            request={
                "version": 5,
                "backtest_id": _BACKTEST_ID,
                "result_hash": "6f1ed002ab5595859014ebf0951522d9b1d2c8f2a3c0e5a4d6e7f8090a1b2c3d",
                "reason": "The rule was published three days late.",
            },
            answer=_APPLYING,
        ),
    }


OPERATIONS: Final[dict[Key, Operation]] = {
    **_operations("/v1/tenants/{tenant_id}/rules", ""),
    **_operations("/v1/rules", "ByQuery"),
}
