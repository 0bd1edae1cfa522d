import asyncio
import time

from phoenix_site.common import tallies


def test_counts_of_a_tenant_are_read_by_step() -> None:
    tallies.add("tenant-a", "events.accepted", 3)
    tallies.add("tenant-a", "events.accepted")
    tallies.add("tenant-b", "events.accepted", 7)

    steps = tallies.recent(60, now=time.time() + tallies.STEP_SECONDS, tenant_ids=["tenant-a"])

    assert len(steps) == 6
    assert sum(step.counts.get(("tenant-a", "events.accepted"), 0) for step in steps) == 4
    assert not any(("tenant-b", "events.accepted") in step.counts for step in steps)


def test_the_step_that_is_still_counted_is_read_when_asked_for() -> None:
    now = time.time()
    tallies.add("tenant-a", "events.accepted", 5)

    finished = tallies.recent(60, now=now)
    with_running = tallies.recent(60, now=now, with_running=True)

    assert [step.began_at for step in with_running[:-1]] == [step.began_at for step in finished]
    assert with_running[-1].began_at <= now < with_running[-1].began_at + tallies.STEP_SECONDS
    assert with_running[-1].counts == {("tenant-a", "events.accepted"): 5}


async def test_counts_of_an_event_loop_are_written_together() -> None:
    for _ in range(100):
        tallies.add("tenant-a", "events.accepted")
    await tallies.aflush()

    steps = await asyncio.to_thread(
        tallies.recent, 60, now=time.time() + tallies.STEP_SECONDS, tenant_ids=None
    )

    assert sum(step.counts.get(("tenant-a", "events.accepted"), 0) for step in steps) == 100
