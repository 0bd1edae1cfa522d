"""Jobs: queued, run, followed, cancelled, and taken up again after a worker died."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from pytest_django.fixtures import Settings

from phoenix_site.common.exceptions import NotFoundError
from rewards.exceptions import StateConflictError
from rewards.models import Job
from rewards.services import jobs
from rewards.services.jobs import JobRun
from rewards.tasks import jobs as tasks
from tenants.models import Tenant
from tests.leaderboards.admin_cast import BackOffice
from tests.rewards import job_kinds
from tests.rewards.job_kinds import STEPS, written

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _kinds(settings: Settings) -> None:
    settings.PHOENIX_JOB_KINDS = {**settings.PHOENIX_JOB_KINDS, **job_kinds.KINDS}


@pytest.fixture
def other_kind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives the kind ``other`` its work."""

    def use(work: Callable[[JobRun], dict[str, Any]]) -> None:
        monkeypatch.setattr(job_kinds, "other", work, raising=False)

    named = {"run": "tests.rewards.job_kinds.other", "scope": "wallet"}
    settings.PHOENIX_JOB_KINDS = {**settings.PHOENIX_JOB_KINDS, "other": named}
    return use


def queue(tenant: Tenant, kind: str = "write_steps", **parameters: Any) -> Job:
    return jobs.enqueue(tenant.pk, kind, parameters, "ops", NOON)


def run(job: Job, now: datetime = NOON) -> Job:
    jobs.run_job(job.pk, clock=lambda: now)
    return Job.objects.get(pk=job.pk)


def test_a_job_runs_to_its_end_and_shows_its_result(tenant_a: Tenant) -> None:
    job = run(queue(tenant_a))

    assert (job.status, float(job.progress), job.result) == ("done", 1, {"done": STEPS})
    assert (job.started_at, job.finished_at, job.attempt) == (NOON, NOON, 1)
    assert written() == STEPS


def test_a_job_of_an_unknown_kind_is_not_queued(tenant_a: Tenant) -> None:
    with pytest.raises(KeyError):
        queue(tenant_a, "no_such_kind")


def test_a_job_that_has_ended_or_runs_elsewhere_is_left_alone(tenant_a: Tenant) -> None:
    job = run(queue(tenant_a))
    run(job)

    running = queue(tenant_a)
    Job.objects.filter(pk=running.pk).update(status="running", leased_until=NOON)
    run(running)

    assert written() == STEPS
    assert Job.objects.get(pk=job.pk).attempt == 1


def test_the_sweep_sends_each_job_once_per_message(tenant_a: Tenant) -> None:
    job = queue(tenant_a)

    assert jobs.sweep_jobs(now=NOON) == [job.pk]
    assert jobs.sweep_jobs(now=NOON + timedelta(seconds=1)) == []
    later = NOON + timedelta(seconds=jobs.MESSAGE_SECONDS)
    assert jobs.sweep_jobs(now=later) == [job.pk]


def test_the_tasks_run_what_the_sweep_finds(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queue(tenant_a)
    monkeypatch.setattr(
        tasks.run_job, "apply_async", lambda args, expires: tasks.run_job.run(*args)
    )

    tasks.sweep_jobs()

    assert Job.objects.get(pk=job.pk).status == "done"


def test_a_refusal_is_the_outcome_of_the_job(tenant_a: Tenant) -> None:
    job = run(queue(tenant_a, "refuse"))

    assert (job.status, job.finished_at) == ("failed", NOON)
    assert job.error == {
        "code": "VAL_001",
        "message": "No such thing.",
        "details": [{"field": "rows.0", "message": "is empty"}],
    }


def test_a_fault_of_our_own_ends_the_job_and_discloses_nothing(tenant_a: Tenant) -> None:
    job = run(queue(tenant_a, "break_down"))

    assert job.status == "failed"
    assert job.error == {"code": "SRV_001", "message": "Internal error."}


def test_what_passes_by_itself_puts_the_job_back_with_growing_pauses(tenant_a: Tenant) -> None:
    job = run(queue(tenant_a, "wait_for_database"))
    assert (job.status, job.leased_until) == ("queued", NOON + timedelta(seconds=2))
    assert jobs.sweep_jobs(now=NOON) == []

    again = NOON + timedelta(seconds=2)
    assert jobs.sweep_jobs(now=again) == [job.pk]
    job = run(job, again)
    assert job.leased_until == again + timedelta(seconds=4)


def test_a_job_that_never_comes_to_its_end_fails(tenant_a: Tenant) -> None:
    job = queue(tenant_a)
    Job.objects.filter(pk=job.pk).update(attempt=jobs.MOST_ATTEMPTS)

    assert run(job).status == "failed"
    assert written() == 0


def test_a_lost_job_waits_again_only_after_its_lease(tenant_a: Tenant) -> None:
    job = queue(tenant_a)
    until = NOON + jobs.LEASE
    Job.objects.filter(pk=job.pk).update(status="running", leased_until=until)

    assert jobs.sweep_jobs(now=until) == []
    assert jobs.sweep_jobs(now=until + timedelta(microseconds=1)) == [job.pk]


def test_a_worker_that_was_given_up_writes_nothing_more(tenant_a: Tenant, other_kind: Any) -> None:
    def be_overtaken(run: JobRun) -> dict[str, Any]:
        Job.objects.filter(pk=run.job_id).update(attempt=2)
        return job_kinds.write_steps(run)  # type: ignore[return-value]

    other_kind(be_overtaken)
    job = run(queue(tenant_a, "other"))

    assert (job.status, job.result, written()) == ("running", {}, 0)


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(tenant_a: Tenant) -> None:
    job = queue(tenant_a)

    assert jobs.cancel(tenant_a.pk, job.pk, now=NOON).status == "cancelled"
    assert jobs.cancel(tenant_a.pk, job.pk, now=NOON).status == "cancelled"
    assert run(job).status == "cancelled"
    assert written() == 0


def test_a_running_job_ends_at_its_next_step_and_keeps_what_is_done(
    tenant_a: Tenant, other_kind: Any
) -> None:
    def cancel_midway(run: JobRun) -> dict[str, Any]:
        with transaction.atomic():
            run.save_checkpoint({"done": 1}, fraction=0.2, result={"done": 1})
        jobs.cancel(run.tenant_id, run.job_id, now=NOON)
        return job_kinds.write_steps(run)  # type: ignore[return-value]

    other_kind(cancel_midway)
    job = run(queue(tenant_a, "other"))

    assert (job.status, job.result, float(job.progress)) == ("cancelled", {"done": 1}, 0.4)
    assert written() == 0


def test_what_is_over_cannot_be_cancelled(tenant_a: Tenant) -> None:
    job = run(queue(tenant_a))

    with pytest.raises(StateConflictError):
        jobs.cancel(tenant_a.pk, job.pk, now=NOON)


def test_another_tenants_job_is_not_found(tenant_a: Tenant, tenant_b: Tenant) -> None:
    job = queue(tenant_b)

    with pytest.raises(NotFoundError):
        jobs.cancel(tenant_a.pk, job.pk, now=NOON)


def test_the_gateway_shows_and_cancels_jobs(tenant_a: Tenant, tenant_b: Tenant) -> None:
    office = BackOffice(tenant_a)
    job, theirs = queue(tenant_a), queue(tenant_b)
    path = f"/v1/tenants/{tenant_a.pk}/jobs/{job.pk}"

    assert office.get(path).json() == {
        "job_id": str(job.pk),
        "kind": "write_steps",
        "status": "queued",
        "progress": 0,
        "result": {},
        "error": None,
    }
    assert office.get(f"/v1/jobs/{job.pk}?tenant_id={tenant_a.pk}").status_code == 200
    assert office.ask("POST", f"{path}/cancel").json()["status"] == "cancelled"
    run(done := queue(tenant_a))
    refused = office.ask("POST", f"/v1/jobs/{done.pk}/cancel?tenant_id={tenant_a.pk}")
    assert (refused.status_code, refused.json()["code"]) == (409, "STATE_CONFLICT")
    assert office.get(f"/v1/tenants/{tenant_a.pk}/jobs/{theirs.pk}").status_code == 404


def test_the_kind_decides_which_scope_may_see_a_job(tenant_a: Tenant, other_kind: Any) -> None:
    reader = BackOffice(tenant_a, scopes=("wallet:read",))
    paths = [
        f"/v1/tenants/{tenant_a.pk}/jobs/{queue(tenant_a, kind).pk}"
        for kind in ("other", "write_steps")
    ]

    assert [reader.get(path).status_code for path in paths] == [200, 403]
    assert reader.ask("POST", f"{paths[0]}/cancel").status_code == 403


@pytest.mark.django_db(transaction=True)
class TestOnRealConnections:
    def test_a_checkpoint_outside_of_a_transaction_is_refused(self, tenant_a: Tenant) -> None:
        with pytest.raises(RuntimeError, match="transaction of its work"):
            JobRun(queue(tenant_a), lambda: NOON).save_checkpoint({})

    def test_the_heartbeat_shows_progress_keeps_the_lease_and_hears_of_a_cancel(
        self, tenant_a: Tenant, other_kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.01)
        seen: list[Job] = []

        def wait_for_the_end(run: JobRun) -> dict[str, Any]:
            run.progress(0.25)
            while not seen or seen[-1].progress == 0:
                seen.append(Job.objects.get(pk=run.job_id))
            jobs.cancel(run.tenant_id, run.job_id, now=NOON)
            while True:
                run.progress(0.5)

        other_kind(wait_for_the_end)
        job = run(queue(tenant_a, "other"))

        assert (float(seen[-1].progress), seen[-1].leased_until) == (0.25, NOON + jobs.LEASE)
        assert (job.status, float(job.progress)) == ("cancelled", 0.5)

    @pytest.mark.processes
    def test_a_killed_workers_job_is_taken_up_again_and_does_no_step_twice(
        self, tenant_a: Tenant
    ) -> None:
        job = queue(tenant_a)

        assert job_kinds.run_in_doomed_worker(job.pk, dies_at=3) == -signal.SIGKILL
        lost = Job.objects.get(pk=job.pk)
        assert (lost.status, lost.checkpoint, written()) == ("running", {"done": 2}, 2)
        assert lost.leased_until is not None
        after = lost.leased_until + timedelta(seconds=1)
        sent: list[UUID] = jobs.sweep_jobs(now=after)
        again = run(job, after)

        assert sent == [job.pk]
        assert (again.status, again.attempt, again.result) == ("done", 2, {"done": STEPS})
        assert written() == STEPS
