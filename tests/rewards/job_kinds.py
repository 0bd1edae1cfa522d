"""Kinds of jobs for tests, and a worker of its own process that dies in the middle of one."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from psycopg.conninfo import make_conninfo

from phoenix_site.common.exceptions import Detail, InvalidInputError, UnavailableError
from rewards.services.jobs import JobRun
from tenants.models import AuditEntry
from tenants.services import audit

STEPS = 5
KINDS = {
    name: {"run": f"tests.rewards.job_kinds.{name}", "scope": "rewards"}
    for name in ("write_steps", "refuse", "break_down", "wait_for_database")
}
_WORKER = """
import sys, django
django.setup()
from datetime import UTC, datetime
from uuid import UUID
from django.conf import settings
from rewards.services import jobs
from tests.rewards import job_kinds
settings.PHOENIX_JOB_KINDS = {**settings.PHOENIX_JOB_KINDS, **job_kinds.KINDS}
job_kinds.arm(sys.argv[2], int(sys.argv[3]))
jobs.run_job(UUID(sys.argv[1]), clock=lambda: datetime.now(UTC))
"""


def write_steps(run: JobRun) -> Mapping[str, Any]:
    """Write one row per step; the result says how many there are."""
    done = run.checkpoint.get("done", 0)
    while done < run.parameters.get("steps", STEPS):
        with transaction.atomic():
            audit.record("test.step", actor=audit.SYSTEM, now=run.clock(), tenant_id=run.tenant_id)
            done += 1
            run.save_checkpoint({"done": done}, fraction=done / STEPS, result={"done": done})
    return {"done": done}


def refuse(_run: JobRun) -> Mapping[str, Any]:
    raise InvalidInputError("No such thing.", details=[Detail("rows.0", "is empty")])


def break_down(_run: JobRun) -> Mapping[str, Any]:
    raise ZeroDivisionError


def wait_for_database(_run: JobRun) -> Mapping[str, Any]:
    raise UnavailableError("The database cannot be reached.")


def written() -> int:
    return AuditEntry.objects.filter(action="test.step").count()


def arm(method: str, call: int) -> None:
    """Kill this process in the given call of a method of ``JobRun``, after its work is written."""
    original, calls = getattr(JobRun, method), iter(range(1, call + 1))

    def deadly(run: JobRun, *args: Any, **kwargs: Any) -> Any:
        answer = original(run, *args, **kwargs)
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(JobRun, method, deadly)


def run_in_doomed_worker(job_id: UUID, *, dies_at: int) -> int:
    """Run the job in another process that dies before it commits step ``dies_at``.

    Returns how it ended: minus the number of the signal.
    """
    name = connection.settings_dict["NAME"]
    variables = {
        "DATABASE_URL": make_conninfo(os.environ["DATABASE_URL"], dbname=name),
        "DJANGO_SETTINGS_MODULE": "phoenix_site.settings",
    }
    arguments = [str(job_id), "save_checkpoint", str(dies_at)]
    command = [sys.executable, "-c", _WORKER, *arguments]
    return subprocess.run(command, env=os.environ | variables, check=False, timeout=60).returncode


def utc_now() -> datetime:
    return datetime.now(UTC)
