from hypothesis import given
from hypothesis import strategies as st

from tenants.rules import buckets
from tenants.rules.buckets import Lease
from tenants.types import LimitVerdict

LIMITS = st.integers(1, 10**9)


@given(LIMITS)
def test_a_process_never_holds_more_than_a_fiftieth_of_a_bucket(limit: int) -> None:
    assert 0 <= buckets.largest_block(limit) <= min(1000, limit / 50)


def test_a_small_bucket_is_never_held_in_part() -> None:
    assert [buckets.largest_block(limit) for limit in (1, 10, 99)] == [0, 0, 0]


def test_blocks_grow_while_they_are_used_up_and_shrink_when_they_are_not() -> None:
    lease = Lease()
    assert lease.wanted(60_000, now=10.0) == 0, "the first request takes only what it needs"

    sizes = []
    for _ in range(12):
        lease.refill(lease.wanted(60_000, now=10.5), cost=1, now=10.0)
        sizes.append(lease.tokens)
        while lease.tokens:
            lease.take(1, limit=60_000)

    assert sizes == sorted(sizes)
    assert sizes[-1] == 1000
    lease.refill(1000, cost=1, now=20.0)
    for _ in range(5):
        lease.take(1, limit=60_000)
    assert lease.wanted(60_000, now=21.5) == 12, "twice what the last second used"
    assert lease.give_back() == 995


@given(limit=LIMITS, tokens=st.floats(0, 10**9), cost=st.integers(1, 10**6))
def test_after_the_named_wait_the_tokens_are_there(limit: int, tokens: float, cost: int) -> None:
    held = min(tokens, float(limit))

    wait = buckets.seconds_until(cost, tokens=held, limit=limit)

    assert wait >= 1
    assert held + wait * buckets.tokens_per_second(limit) >= min(cost, limit) - 1e-6
    assert buckets.reset_second(1000.0, tokens=held, limit=limit) >= 1000


def test_headers_carry_the_wait_only_when_refused() -> None:
    allowed = LimitVerdict(allowed=True, limit=10, remaining=9, reset_at=70, retry_after=0)
    refused = LimitVerdict(allowed=False, limit=10, remaining=0, reset_at=70, retry_after=6)

    assert buckets.limit_headers(allowed) == {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "9",
        "X-RateLimit-Reset": "70",
    }
    assert buckets.limit_headers(refused)["Retry-After"] == "6"
