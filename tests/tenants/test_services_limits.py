import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django.fixtures import Settings

from phoenix_site.common.exceptions import RateLimitedError
from phoenix_site.common.redis import get_redis
from tenants.models import Tenant
from tenants.services import limits, snapshots
from tenants.services.limits import Take


def tenant_with(**per_minute: int) -> str:
    Tenant.objects.create(
        id="limited", operator_code="limited", environment="sandbox", name="L", limits=per_minute
    )
    return "limited"


@pytest.fixture
def ten(db: None) -> str:
    return tenant_with(ingestion=10)


def test_a_bucket_serves_exactly_its_limit(ten: str) -> None:
    verdicts = [limits.take("ingestion", ten, ten) for _ in range(12)]

    assert [verdict.allowed for verdict in verdicts] == [True] * 10 + [False] * 2
    assert [verdict.remaining for verdict in verdicts[:3]] == [9, 8, 7]
    refused = verdicts[-1]
    assert (refused.limit, refused.remaining) == (10, 0)
    assert 1 <= refused.retry_after <= 6
    assert 54 <= refused.reset_at - time.time() <= 61


def test_a_refused_request_costs_nothing(ten: str) -> None:
    assert limits.take("ingestion", ten, ten, cost=7).allowed
    assert not limits.take("ingestion", ten, ten, cost=4).allowed
    assert limits.take("ingestion", ten, ten, cost=3).allowed


def test_a_bucket_fills_again(db: None) -> None:
    name = tenant_with(ingestion=6000)
    assert limits.take("ingestion", name, name, cost=6000).allowed
    assert not limits.take("ingestion", name, name, cost=50).allowed

    time.sleep(0.6)

    assert limits.take("ingestion", name, name, cost=50).allowed


def test_more_than_the_bucket_ever_holds_is_refused_with_a_wait(ten: str) -> None:
    verdict = limits.take("ingestion", ten, ten, cost=100)

    assert not verdict.allowed
    assert verdict.retry_after == 1


def test_buckets_and_classes_are_apart(ten: str, tenant_b: Tenant) -> None:
    limits.take("ingestion", ten, ten, cost=10)

    assert limits.take("query_tenant", ten, ten).allowed
    assert limits.take("ingestion", "tenant-b", "tenant-b").limit == 60_000
    assert limits.take("admin", None, "some-key").limit == 600


def test_of_two_buckets_all_pay_or_none(db: None) -> None:
    name = tenant_with(query_player=2, query_tenant=100)
    player, tenant = Take("query_player", name, "ana"), Take("query_tenant", name, name)
    for _ in range(2):
        assert limits.take_all(player, tenant).allowed

    refused = limits.take_all(player, tenant)

    assert (refused.allowed, refused.limit) == (False, 2)
    assert limits.take("query_tenant", name, name).remaining == 97


def test_a_lowered_limit_holds_at_once(ten: str) -> None:
    limits.take("ingestion", ten, ten)
    Tenant.objects.filter(pk=ten).update(limits={"ingestion": 3})
    snapshots.forget_now()

    verdicts = [limits.take("ingestion", ten, ten).allowed for _ in range(4)]

    assert verdicts == [True, True, True, False]


def test_enforce_raises_with_headers(ten: str) -> None:
    assert limits.enforce(limits.take("ingestion", ten, ten))["X-RateLimit-Remaining"] == "9"
    limits.take("ingestion", ten, ten, cost=9)

    with pytest.raises(RateLimitedError) as caught:
        limits.enforce(limits.take("ingestion", ten, ten))

    assert caught.value.headers["X-RateLimit-Remaining"] == "0"
    assert caught.value.retry_after == int(caught.value.headers["Retry-After"])


def test_a_flushed_redis_starts_the_buckets_anew(ten: str) -> None:
    limits.take("ingestion", ten, ten, cost=10)
    get_redis().flushall()
    get_redis().script_flush()

    assert limits.take("ingestion", ten, ten).remaining == 9


def test_without_redis_requests_pass_and_the_time_out_is_paid_once(
    ten: str, settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    begun = time.monotonic()
    verdicts = [limits.take("ingestion", ten, ten) for _ in range(50)]

    assert all(verdict.allowed for verdict in verdicts)
    assert limits.headers(verdicts[0])["X-RateLimit-Limit"] == "10"
    assert time.monotonic() - begun < 1.0


def test_threads_together_never_exceed_the_limit(db: None) -> None:
    name = tenant_with(ingestion=100)
    snapshots.tenant_settings(name)
    allowed: Counter[bool] = Counter()
    barrier = threading.Barrier(4)

    def hammer() -> None:
        barrier.wait()
        for _ in range(50):
            allowed[limits.take("ingestion", name, name).allowed] += 1

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # The bucket fills by 1.7 tokens a second meanwhile.
    assert 100 <= allowed[True] <= 103


# --- Blocks of tokens on an event loop -----------------------------------------------------------


@pytest.fixture
def counted_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    ask = limits._arun_script

    async def counting(asks: object) -> object:
        calls.append(1)
        return await ask(asks)  # type: ignore[arg-type]

    monkeypatch.setattr(limits, "_arun_script", counting)
    return calls


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("async_database")
class TestBlocks:
    async def test_a_small_limit_is_exact_however_many_ask_at_once(self) -> None:
        name = await sync_to_async(tenant_with)(ingestion=10)

        verdicts = await asyncio.gather(*(limits.atake("ingestion", name, name) for _ in range(30)))

        assert sum(verdict.allowed for verdict in verdicts) == 10

    async def test_many_events_need_few_round_trips(self, counted_calls: list[int]) -> None:
        name = await sync_to_async(tenant_with)(ingestion=60_000)

        for _ in range(3000):
            assert (await limits.atake("ingestion", name, name)).allowed

        assert len(counted_calls) < 30

    async def test_bursts_of_requests_do_not_hoard_blocks(self, counted_calls: list[int]) -> None:
        name = await sync_to_async(tenant_with)(ingestion=60_000)

        for _ in range(20):
            await asyncio.gather(*(limits.atake("ingestion", name, name) for _ in range(100)))

        lease = limits._leases["ingestion", name, name]
        assert lease.tokens <= 1000
        left = limits.take("ingestion", name, name).remaining
        assert left + lease.tokens >= 60_000 - 2001

    async def test_a_process_serves_exactly_the_limit_with_blocks(self) -> None:
        name = await sync_to_async(tenant_with)(ingestion=1200)

        verdicts = [await limits.atake("ingestion", name, name) for _ in range(1500)]

        served = sum(verdict.allowed for verdict in verdicts)
        assert 1200 <= served <= 1200 + 20 * 3, "20 tokens a second come back meanwhile"
        remaining = [verdict.remaining for verdict in verdicts[:50]]
        assert remaining == sorted(remaining, reverse=True)

    async def test_two_processes_together_never_exceed_the_limit(self) -> None:
        name = await sync_to_async(tenant_with)(ingestion=3000)
        served = 0
        held: dict[int, dict[Any, Any]] = {0: {}, 1: {}}

        for number in range(4000):
            # Each process has leases of its own; swap them as if the other one ran.
            limits._leases.clear()
            limits._leases.update(held[number % 2])
            served += (await limits.atake("ingestion", name, name)).allowed
            held[number % 2] = dict(limits._leases)

        assert 3000 - 60 <= served <= 3000 + 50 * 4

    async def test_unused_tokens_are_given_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        name = await sync_to_async(tenant_with)(ingestion=60_000)
        for _ in range(200):
            await limits.atake("ingestion", name, name)
        lease = limits._leases["ingestion", name, name]
        assert lease.tokens > 0
        lease.until = 0.0

        await limits.atake("ingestion", name, name)

        total = limits.take("ingestion", name, name).remaining + lease.tokens
        assert total >= 60_000 - 202 - 1000

    async def test_a_bulk_takes_its_size(self, counted_calls: list[int]) -> None:
        name = await sync_to_async(tenant_with)(ingestion=60_000)

        for _ in range(300):
            assert (await limits.atake("ingestion", name, name, cost=100)).allowed

        assert (await limits.atake("ingestion", name, name)).remaining <= 30_000 + 4000
        assert len(counted_calls) < 60

    async def test_two_buckets_take_one_round_trip(self, counted_calls: list[int]) -> None:
        name = await sync_to_async(tenant_with)(query_player=5, query_tenant=100)
        takes = Take("query_player", name, "ana"), Take("query_tenant", name, name)

        verdicts = [await limits.atake_all(*takes) for _ in range(7)]

        assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 2
        assert verdicts[-1].limit == 5
        assert len(counted_calls) <= 7

    async def test_without_redis_requests_pass(self, settings: Settings) -> None:
        name = await sync_to_async(tenant_with)(ingestion=10)
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        begun = time.monotonic()

        verdicts = [await limits.atake("ingestion", name, name) for _ in range(50)]

        assert all(verdict.allowed for verdict in verdicts)
        assert time.monotonic() - begun < 1.0


@pytest.mark.django_db(transaction=True)
async def test_scripts_are_sent_again_to_a_redis_that_lost_them(async_database: None) -> None:
    get_redis().script_flush()

    assert (await limits.atake("admin", None, "k")).allowed


def test_old_blocks_go_before_living_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAX_LEASES", 10)
    for number in range(10):
        limits._lease(Take("query_player", "t", f"player {number}")).until = (
            time.monotonic() + 60 if number < 3 else 0.0
        )

    limits._lease(Take("query_player", "t", "one more"))

    assert len(limits._leases) == 4


def test_the_memory_of_blocks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAX_LEASES", 10)

    for number in range(50):
        limits._lease(Take("query_player", "t", f"player {number}"))

    assert len(limits._leases) <= 10
