"""Jobs: work too long for one request. A row first, then a worker that may die at any moment.

A kind of job is a function named in the setting ``PHOENIX_JOB_KINDS``. It takes a ``JobRun``, does
its work in transactions of its own and returns the result. Where it writes, it does so in steps
that each end with ``save_checkpoint``: work and checkpoint commit together, so that the worker
which takes the job up again goes on behind the last step and does none twice.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils.module_loading import import_string

from phoenix_site.common.exceptions import DomainError, NotFoundError, UnavailableError
from phoenix_site.common.json import rendered
from phoenix_site.common.logging import get_logger
from rewards.exceptions import StateConflictError
from rewards.models.jobs import Job

log = get_logger(__name__)

Clock = Callable[[], datetime]

# A worker that has not shown itself for so long is taken for dead.
LEASE: Final = timedelta(seconds=30)
HEARTBEAT_SECONDS: Final = 1.0
# What a message to a worker may wait; then the sweep sends another one.
MESSAGE_SECONDS: Final = 10
# A job that kills each of its workers must not do so for ever.
MOST_ATTEMPTS: Final = 10
_SENT_AT_ONCE: Final = 50
_MOST_PAUSE_SECONDS: Final = 60
_PASSING: Final = (OperationalError, InterfaceError, UnavailableError)
_UNFINISHED: Final = (Job.Status.QUEUED, Job.Status.RUNNING)

_BEAT: Final = """
UPDATE rewards_job SET progress = %s, leased_until = %s, updated_at = %s
WHERE id = %s AND attempt = %s AND status = 'running'
RETURNING is_cancel_requested
"""


class JobCancelledError(Exception):
    """Somebody asked for the end of this job; let it pass through."""


class JobLostError(Exception):
    """Another worker has this job by now; let it pass through, so that nothing more is written."""


class JobRun:
    """One attempt at a job, as the function that does the work sees it."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self.job_id: UUID = job.pk
        self.tenant_id: str = job.tenant_id
        self.parameters: Mapping[str, Any] = job.parameters
        self.author: str = job.author
        self.attempt = job.attempt
        # As the last step left it; empty at the first attempt.
        self.checkpoint: dict[str, Any] = job.checkpoint
        self.clock = clock
        self.fraction = Decimal(job.progress)
        self.is_cancelled = job.is_cancel_requested

    def progress(self, fraction: float | Decimal) -> None:
        """Say how much is done, from 0 to 1; call it often, it costs nothing.

        A thread of its own writes it down and keeps the lease alive, also while a long statement
        or transaction runs. Raises: ``JobCancelledError`` once the end was asked for.
        """
        self.fraction = _as_fraction(fraction)
        if self.is_cancelled:
            raise JobCancelledError

    def save_checkpoint(
        self,
        checkpoint: Mapping[str, Any],
        *,
        fraction: float | Decimal | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep where the next attempt goes on, at the end of the transaction that did the work.

        ``result`` is what the job shows until it is done. When this raises, the transaction rolls
        back and the step was not done.

        Raises: ``JobCancelledError`` once the end was asked for, ``JobLostError`` when another
        worker has the job. Locks: the job's row, until the transaction ends.
        """
        if not connection.in_atomic_block:
            raise RuntimeError("A checkpoint belongs into the transaction of its work.")
        self.progress(self.fraction if fraction is None else fraction)
        now = self.clock()
        values: dict[str, Any] = {
            "checkpoint": as_json(checkpoint),
            "progress": self.fraction,
            "leased_until": now + LEASE,
            "updated_at": now,
        }
        if result is not None:
            values["result"] = as_json(result)
        mine = Job.objects.filter(pk=self.job_id, attempt=self.attempt, status=Job.Status.RUNNING)
        if not mine.filter(is_cancel_requested=False).update(**values):
            raise JobCancelledError if mine.exists() else JobLostError
        self.checkpoint = dict(checkpoint)


class _Heartbeat(AbstractContextManager["_Heartbeat"]):
    """Writes progress and extends the lease, from a thread with a connection of its own."""

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="job-heartbeat", daemon=True)

    def __enter__(self) -> "_Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _beat(self) -> None:
        try:
            while not self._is_over.wait(HEARTBEAT_SECONDS):
                self._beat_once()
        finally:
            connection.close()

    def _beat_once(self) -> None:
        run, now = self._run, self._run.clock()
        try:
            with connection.cursor() as cursor:
                cursor.execute(_BEAT, [run.fraction, now + LEASE, now, run.job_id, run.attempt])
                row = cursor.fetchone()
        except DatabaseError as exc:
            # The next beat tries again on a new connection; a lease outlives many beats.
            log.warning("job.heartbeat_missed", job_id=run.job_id, error=type(exc).__name__)
            connection.close()
            return
        if row is not None and row[0]:
            run.is_cancelled = True


def enqueue(
    tenant_id: str, kind: str, parameters: Mapping[str, Any], author: str, now: datetime
) -> Job:
    """Write down a job of a kind from ``PHOENIX_JOB_KINDS``; a sweep sends it within a second.

    In the caller's transaction. Raises: ``KeyError`` for an unknown kind.
    """
    _kind(kind)
    job = Job.objects.create(
        tenant_id=tenant_id, kind=kind, parameters=as_json(parameters), author=author[:255]
    )
    log.info("job.queued", job_id=job.pk, kind=kind, tenant_id=tenant_id, at=now.isoformat())
    return job


@transaction.atomic
def cancel(tenant_id: str, job_id: UUID, *, now: datetime) -> Job:
    """End a job that waits; ask for the end of one that runs, which follows within a step.

    Raises: ``NotFoundError``; ``StateConflictError`` when it is done or failed.
    Repeats: a cancelled job stays so. Locks: the job.
    """
    job = Job.objects.select_for_update().filter(tenant=tenant_id, pk=job_id).first()
    if job is None:
        raise NotFoundError("There is no such job.")
    if job.status in (Job.Status.DONE, Job.Status.FAILED):
        raise StateConflictError(f"The job is {job.status} already.")
    if job.status == Job.Status.QUEUED:
        job.status, job.finished_at = Job.Status.CANCELLED, now
    job.is_cancel_requested = True
    job.save(update_fields=["status", "finished_at", "is_cancel_requested", "updated_at"])
    return job


@transaction.atomic
def sweep_jobs(*, now: datetime) -> list[UUID]:
    """Return the jobs for which a message is due, the oldest first; lost ones wait again.

    Repeats: a job is returned once per ``MESSAGE_SECONDS`` until a worker takes it.
    """
    Job.objects.filter(status=Job.Status.RUNNING, leased_until__lt=now).update(
        status=Job.Status.QUEUED, leased_until=None, updated_at=now
    )
    waiting = Job.objects.filter(status=Job.Status.QUEUED).exclude(leased_until__gt=now)
    chosen = waiting.order_by("created_at").select_for_update(skip_locked=True)
    ids = list(chosen.values_list("pk", flat=True)[:_SENT_AT_ONCE])
    until = now + timedelta(seconds=MESSAGE_SECONDS)
    Job.objects.filter(pk__in=ids).update(leased_until=until)
    return ids


def run_job(job_id: UUID, *, clock: Clock) -> None:
    """Do the work of a queued job, or go on where a lost attempt at it stopped.

    Repeats: a job that runs, or has ended, is left alone. Faults of the job are its outcome; what
    passes by itself puts it back into the queue, with growing pauses.
    """
    job = _take(job_id, now=clock())
    if job is None:
        return
    run = JobRun(job, clock)
    try:
        result = _work(job, run)
    except JobCancelledError:
        _end(run, status=Job.Status.CANCELLED)
    except JobLostError:
        log.warning("job.lost", job_id=job_id, attempt=run.attempt)
    except _PASSING as exc:
        _put_back(run, exc)
    except DomainError as exc:
        _end(run, status=Job.Status.FAILED, error=_fault(exc))
    except Exception:
        # The outermost place that knows of the job, which must not stay running for ever.
        log.exception("job.failed", job_id=job_id, kind=job.kind)
        _end(run, status=Job.Status.FAILED, error=_fault(DomainError("Internal error.")))
    else:
        _end(run, status=Job.Status.DONE, result=as_json(result), progress=1)


def as_json(value: Any) -> Any:
    """Return ``value`` as columns of JSON take it: times and UUIDs as text, decimals as numbers."""
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return rendered(value)


def _work(job: Job, run: JobRun) -> Mapping[str, Any]:
    if job.attempt > MOST_ATTEMPTS:
        raise DomainError("It was begun again and again and never came to its end.")
    run.progress(run.fraction)
    function: Callable[[JobRun], Mapping[str, Any]] = import_string(_kind(job.kind)["run"])
    with _Heartbeat(run):
        return function(run)


def scope_of(kind: str) -> str:
    """Return the family of scopes that may read and cancel jobs of this kind."""
    return settings.PHOENIX_JOB_KINDS.get(kind, {}).get("scope", "rewards")


def _kind(kind: str) -> Mapping[str, str]:
    kinds: Mapping[str, Mapping[str, str]] = settings.PHOENIX_JOB_KINDS
    return kinds[kind]


def _take(job_id: UUID, *, now: datetime) -> Job | None:
    taken = Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).update(
        status=Job.Status.RUNNING,
        attempt=F("attempt") + 1,
        leased_until=now + LEASE,
        started_at=Coalesce(F("started_at"), now),
        updated_at=now,
    )
    return Job.objects.get(pk=job_id) if taken else None


def _end(run: JobRun, **values: Any) -> None:
    now = run.clock()
    mine = Job.objects.filter(pk=run.job_id, attempt=run.attempt, status=Job.Status.RUNNING)
    values.setdefault("progress", run.fraction)
    if mine.update(finished_at=now, leased_until=None, updated_at=now, **values):
        log.info("job.ended", job_id=run.job_id, status=values["status"])


def _put_back(run: JobRun, error: Exception) -> None:
    """Let the job wait for a while; without a database its lease ends by itself."""
    log.warning("job.put_back", job_id=run.job_id, error=type(error).__name__)
    pause = timedelta(seconds=min(2**run.attempt, _MOST_PAUSE_SECONDS))
    now = run.clock()
    mine = Job.objects.filter(pk=run.job_id, attempt=run.attempt, status=Job.Status.RUNNING)
    mine.update(status=Job.Status.QUEUED, leased_until=now + pause, updated_at=now)


def _fault(error: DomainError) -> dict[str, Any]:
    fault: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        fault["details"] = [detail.as_dict() for detail in error.details]
    return fault


def _as_fraction(fraction: float | Decimal) -> Decimal:
    bounded = min(1.0, max(0.0, float(fraction)))
    return Decimal(f"{bounded:.4f}")
