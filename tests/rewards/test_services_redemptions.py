"""Redeeming, validating and reversing: order of refusals, limits, and what is given."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from ingestion.models import Event
from phoenix_site.common.exceptions import NotFoundError, RateLimitedError
from phoenix_site.common.ids import uuid7
from phoenix_site.common.redis import get_redis
from players.models import Player
from rewards.constants import COUPON_FAILURES
from rewards.exceptions import InsufficientBalanceError, StateConflictError
from rewards.models import (
    Account,
    CouponCode,
    CouponRedemption,
    CouponTally,
    CouponUse,
    Grant,
)
from rewards.selectors.book import book_of
from rewards.services import coupon_codes, coupon_failures, coupon_reversals, coupons, redemptions
from rewards.services.grants import revoke_grant
from rewards.services.pipe import settling
from rewards.types.causes import Cause
from rewards.types.coupons import RedeemAsk, Redemption
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.coupon_cast import (
    NOON,
    at_once,
    code_row,
    counts,
    limit,
    make_badge,
    make_codes,
    make_coupon,
    make_custom,
    make_item,
    outcome,
    reason,
    redeem,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def wallet(user_id: str = "ana") -> int:
    return int(Account.objects.get(kind="wallet", player__external_id=user_id).balance)


def void(tenant: Tenant, code: str) -> None:
    coupon_codes.void_code(tenant.pk, code, reason="leaked", actor=SYSTEM, now=NOON)


def reverse(tenant: Tenant, redemption_id: Any, **more: Any) -> None:
    coupon_reversals.reverse_redemption(
        tenant.pk, redemption_id, reason="by mistake", actor=SYSTEM, now=NOON, **more
    )


# --- What is given -------------------------------------------------------------------------------


def test_a_redemption_gives_the_item_and_appends_its_events(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a, make_item(tenant_a))
    code = make_codes(coupon)[0]

    done = redeem(tenant_a, code.code)

    grant = Grant.objects.get(pk=done.order_id)
    assert (grant.source_type, grant.source_id) == ("coupon", str(done.redemption_id))
    assert (grant.status, grant.context["coupon_code"]) == ("granted", code.code)
    assert wallet() == 100
    assert (done.code, done.code_id, done.redeemed_at) == (code.code, code.code_id, NOON)
    assert done.reward_item["payload"] == {"currency_id": "gold", "amount": 100}
    assert code_row(code).status == "redeemed"
    event = Event.objects.get(type="coupon.redeemed")
    assert (event.event_id, event.user_id) == (f"coupon.redeemed:{done.redemption_id}", "ana")
    assert event.attrs["grant_id"] == str(grant.pk)
    assert Event.objects.filter(type="reward.granted").count() == 1


def test_an_item_that_the_player_claims_waits_for_the_player(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a, make_badge(tenant_a, claim="player"))
    code = make_codes(coupon)[0]

    done = redeem(tenant_a, code.code)

    assert Grant.objects.get(pk=done.order_id).status == "unclaimed"


def test_a_coupon_can_be_worth_a_code_of_another_coupon(tenant_a: Tenant) -> None:
    second = make_coupon(tenant_a, make_badge(tenant_a), name="Second")
    item = make_item(
        tenant_a, "A code", reward_type="coupon", payload={"coupon_id": str(second.pk)}
    )
    code = make_codes(make_coupon(tenant_a, item))[0]

    done = redeem(tenant_a, code.code)

    given = CouponCode.objects.get(coupon=second)
    context = Grant.objects.get(pk=done.order_id).context
    assert (context["coupon_code"], context["given_code"]) == (code.code, given.code)
    assert (given.grant_id, given.player.external_id) == (done.order_id, "ana")  # type: ignore[union-attr]
    assert outcome(tenant_a, given.code, "ben") == "AUTH_005"
    assert outcome(tenant_a, given.code) == "redeemed"


def test_revoking_a_grant_voids_the_code_that_it_gave(tenant_a: Tenant) -> None:
    second = make_coupon(tenant_a, make_badge(tenant_a), name="Second")
    item = make_item(
        tenant_a, "A code", reward_type="coupon", payload={"coupon_id": str(second.pk)}
    )
    code = make_codes(make_coupon(tenant_a, item))[0]
    done = redeem(tenant_a, code.code)

    reverse(tenant_a, done.redemption_id)

    assert CouponCode.objects.get(coupon=second).status == "revoked"
    assert code_row(code).status == "active"


# --- Refusals ------------------------------------------------------------------------------------


def test_acceptance_30_case_owners_and_what_is_unknown(tenant_a: Tenant) -> None:
    free = make_codes(make_coupon(tenant_a))[0]
    own = make_codes(make_coupon(tenant_a, name="Own"), "ben")[0]
    ended = make_custom(tenant_a, "ENDED", expires_at="2026-03-05T12:00:00Z")

    assert outcome(tenant_a, free.code.lower()) == "redeemed"
    assert outcome(tenant_a, own.code) == "AUTH_005"
    assert outcome(tenant_a, "NOSUCHCODE") == "NOT_FOUND"
    assert reason(tenant_a, ended.custom_code) == "expired"
    assert reason(tenant_a, own.code) == "other_player"
    assert reason(tenant_a, "NOSUCHCODE") == "not_found"


def test_a_case_sensitive_code_is_found_as_it_is_written_only(tenant_a: Tenant) -> None:
    make_custom(tenant_a, "Summer", case_sensitive=True)

    assert reason(tenant_a, "SUMMER") == "not_found"
    assert reason(tenant_a, "summer") == "not_found"
    assert outcome(tenant_a, "Summer") == "redeemed"


def test_the_code_that_is_written_just_so_comes_first(tenant_a: Tenant) -> None:
    make_custom(tenant_a, "SUMMER")
    exact = make_custom(tenant_a, "summer", case_sensitive=True)

    assert redeem(tenant_a, "summer").coupon_id == exact.pk
    assert redeem(tenant_a, "Summer").coupon_id != exact.pk


def test_refusals_come_in_the_order_of_the_contract(tenant_a: Tenant) -> None:
    """Each step takes away the cause of the refusal before; all the others still hold."""
    coupon = make_coupon(tenant_a, usage_limit=[limit("per_user", 1), limit("total", 1)])
    code, spent = make_codes(coupon, "ana", "ben")
    redeem(tenant_a, spent.code, "ben")
    void(tenant_a, code.code)
    change(tenant_a, coupon.pk, status="inactive", starts_at="2026-03-06T00:00:00Z")

    assert outcome(tenant_a, code.code, "ben") == "AUTH_005"
    assert outcome(tenant_a, code.code) == "COUPON_VOID"
    CouponCode.objects.filter(pk=code.code_id).update(status="active")
    assert outcome(tenant_a, code.code) == "COUPON_INACTIVE"
    change(tenant_a, coupon.pk, status="active")
    assert outcome(tenant_a, code.code) == "COUPON_NOT_STARTED"
    change(tenant_a, coupon.pk, starts_at=None, expires_at="2026-03-04T00:00:00Z")
    assert outcome(tenant_a, code.code) == "COUPON_EXPIRED"
    change(tenant_a, coupon.pk, expires_at=None)
    assert outcome(tenant_a, spent.code, "ben") == "COUPON_ALREADY_REDEEMED"
    assert outcome(tenant_a, code.code) == "COUPON_LIMIT_REACHED"


def change(tenant: Tenant, coupon_id: Any, status: str | None = None, **config: Any) -> None:
    document: dict[str, Any] = {"config": config} | ({"status": status} if status else {})
    coupons.patch_coupon(tenant.pk, coupon_id, document, actor=SYSTEM, now=NOON)


def test_times_of_a_coupon_include_its_start_and_not_its_end(tenant_a: Tenant) -> None:
    make_custom(tenant_a, starts_at="2026-03-05T12:00:00Z", expires_at="2026-03-06T12:00:00Z")

    assert reason(tenant_a, "SUMMER", now=NOON - timedelta(microseconds=1)) == "not_started"
    assert reason(tenant_a, "SUMMER", now=NOON) is None
    assert reason(tenant_a, "SUMMER", now=NOON + DAY - timedelta(microseconds=1)) is None
    assert reason(tenant_a, "SUMMER", now=NOON + DAY) == "expired"


OPTED_OUT = {"is_opted_out": True, "opt_changed_at": NOON, "opt_reasons": ["enough"]}


@pytest.mark.parametrize("state", [{"status": "blocked"}, {"status": "closed"}, OPTED_OUT])
def test_a_blocked_player_redeems_nothing(tenant_a: Tenant, state: dict[str, Any]) -> None:
    make_custom(tenant_a)
    Player.objects.create(tenant=tenant_a, external_id="ana", **state)

    assert outcome(tenant_a, "SUMMER") == "AUTH_005"
    assert counts() == (0, 0)


def test_a_refusal_leaves_nothing_behind(tenant_a: Tenant) -> None:
    make_custom(tenant_a, status="inactive")

    assert outcome(tenant_a, "SUMMER", "dora") == "COUPON_INACTIVE"

    assert not Player.objects.filter(external_id="dora").exists()
    assert CouponUse.objects.count() == 0
    assert Event.objects.count() == 0


def test_another_tenants_code_is_unknown(tenant_a: Tenant, tenant_b: Tenant) -> None:
    make_custom(tenant_b)

    assert outcome(tenant_a, "SUMMER") == "NOT_FOUND"


def test_validating_changes_nothing_and_names_what_the_code_is_worth(tenant_a: Tenant) -> None:
    code = make_codes(make_coupon(tenant_a, make_item(tenant_a)))[0]

    found = redemptions.validate(tenant_a.pk, "ana", code.code, now=NOON)

    assert found.reason is None
    assert found.coupon is not None
    assert (found.coupon["code"], found.coupon["status"]) == (code.code, "active")
    assert found.reward_item == code.reward_item
    assert not Player.objects.exists()
    assert counts() == (0, 0)


# --- Limits --------------------------------------------------------------------------------------


def test_a_shared_code_for_once_per_player_is_redeemed_already(tenant_a: Tenant) -> None:
    make_custom(tenant_a, usage_limit=limit("per_user", 1))

    assert [outcome(tenant_a, "SUMMER", name) for name in ("ana", "ben", "ana")] == [
        "redeemed",
        "redeemed",
        "COUPON_ALREADY_REDEEMED",
    ]


def test_a_shared_code_may_be_redeemed_as_often_as_its_limit_says(tenant_a: Tenant) -> None:
    make_custom(tenant_a, usage_limit=limit("per_user", 2))

    assert [outcome(tenant_a, "SUMMER") for _ in range(3)] == [
        "redeemed",
        "redeemed",
        "COUPON_LIMIT_REACHED",
    ]


def test_an_unlimited_shared_code_is_redeemed_again_and_again(tenant_a: Tenant) -> None:
    make_custom(tenant_a)

    assert {outcome(tenant_a, "SUMMER") for _ in range(3)} == {"redeemed"}
    assert counts() == (3, 3)


def test_the_limit_per_player_counts_all_codes_of_a_coupon(tenant_a: Tenant) -> None:
    codes = make_codes(make_coupon(tenant_a, usage_limit=limit("per_user", 2)), count=3)

    assert [outcome(tenant_a, code.code) for code in codes] == [
        "redeemed",
        "redeemed",
        "COUPON_LIMIT_REACHED",
    ]
    assert outcome(tenant_a, codes[2].code, "ben") == "redeemed"


def test_the_database_itself_refuses_a_second_redemption(tenant_a: Tenant) -> None:
    random = redeem(tenant_a, make_codes(make_coupon(tenant_a))[0].code)
    make_custom(tenant_a, usage_limit=limit("per_user", 1))
    shared = redeem(tenant_a, "SUMMER")
    grant = redeem(tenant_a, make_codes(make_coupon(tenant_a))[0].code, "ben").order_id
    CouponRedemption.objects.filter(grant=grant).delete()

    for first in (random, shared):
        row = CouponRedemption.objects.get(pk=first.redemption_id)
        row.pk, row.grant_id = uuid7(), grant
        with pytest.raises(IntegrityError, match="coupon_code_redeemed_once"), transaction.atomic():
            row.save(force_insert=True)


# --- Failures ------------------------------------------------------------------------------------


def fail_often(tenant: Tenant, times: int = COUPON_FAILURES) -> None:
    for number in range(times):
        if number % 2:
            assert reason(tenant, "NOSUCHCODE") == "not_found"
        else:
            assert outcome(tenant, "NOSUCHCODE") == "NOT_FOUND"


def test_after_20_failures_a_player_has_to_wait(tenant_a: Tenant) -> None:
    make_custom(tenant_a)
    fail_often(tenant_a)

    with pytest.raises(RateLimitedError) as refused:
        redeem(tenant_a, "SUMMER")

    assert 0 < refused.value.retry_after <= 600
    assert outcome(tenant_a, "SUMMER", "ben") == "redeemed"


def test_successes_count_for_nothing(tenant_a: Tenant) -> None:
    make_custom(tenant_a)
    fail_often(tenant_a, COUPON_FAILURES - 1)

    assert {outcome(tenant_a, "SUMMER") for _ in range(5)} == {"redeemed"}
    assert {reason(tenant_a, "SUMMER") for _ in range(5)} == {None}
    assert outcome(tenant_a, "NOSUCHCODE") == "NOT_FOUND"
    assert outcome(tenant_a, "SUMMER") == "RATE_001"


def test_the_ten_minutes_begin_with_the_first_failure(tenant_a: Tenant) -> None:
    make_custom(tenant_a)
    fail_often(tenant_a)
    (name,) = get_redis().scan_iter("*coupon_failures*")

    get_redis().expire(name, 0)

    assert outcome(tenant_a, "SUMMER") == "redeemed"


def test_an_attempt_that_outlives_its_ten_minutes_leaves_no_count_for_ever(
    tenant_a: Tenant,
) -> None:
    with coupon_failures.attempting(tenant_a.pk, "ana"):
        (name,) = get_redis().scan_iter("*coupon_failures*")
        get_redis().delete(name)

    assert not list(get_redis().scan_iter("*coupon_failures*"))


def test_what_is_not_the_players_fault_does_not_count(tenant_a: Tenant) -> None:
    for _ in range(2 * COUPON_FAILURES):
        with pytest.raises(ZeroDivisionError), coupon_failures.attempting(tenant_a.pk, "ana"):
            raise ZeroDivisionError
    make_custom(tenant_a)

    assert outcome(tenant_a, "SUMMER") == "redeemed"


# --- Reversal ------------------------------------------------------------------------------------


def test_a_reversal_takes_the_money_back_and_frees_the_code(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a, make_item(tenant_a), usage_limit=limit("total", 1))
    code = make_codes(coupon)[0]
    done = redeem(tenant_a, code.code)

    reverse(tenant_a, done.redemption_id)

    assert wallet() == 0
    assert Grant.objects.get(pk=done.order_id).status == "revoked"
    assert CouponRedemption.objects.get(pk=done.redemption_id).status == "reversed"
    assert (code_row(code).status, code_row(code).redeemed_at) == ("active", None)
    assert CouponTally.objects.get(coupon=coupon).redeemed == 0
    assert outcome(tenant_a, code.code, "ben") == "redeemed"


def test_a_reversed_redemption_of_a_shared_code_may_be_made_again(tenant_a: Tenant) -> None:
    make_custom(tenant_a, usage_limit=limit("per_user", 1))
    done = redeem(tenant_a, "SUMMER")

    reverse(tenant_a, done.redemption_id)

    assert outcome(tenant_a, "SUMMER") == "redeemed"
    assert counts() == (1, 2)


def test_a_redemption_is_reversed_once(tenant_a: Tenant) -> None:
    coupon = make_custom(tenant_a)
    done = redeem(tenant_a, "SUMMER")
    redeem(tenant_a, "SUMMER")
    reverse(tenant_a, done.redemption_id)

    with pytest.raises(StateConflictError):
        reverse(tenant_a, done.redemption_id)

    assert CouponTally.objects.get(coupon=coupon).redeemed == 1


def test_what_is_spent_is_taken_back_only_as_far_as_it_is_there(tenant_a: Tenant) -> None:
    code = make_codes(make_coupon(tenant_a, make_item(tenant_a)))[0]
    done = redeem(tenant_a, code.code)
    spend(60)

    with pytest.raises(InsufficientBalanceError), transaction.atomic():
        reverse(tenant_a, done.redemption_id)
    assert code_row(code).status == "redeemed"
    reverse(tenant_a, done.redemption_id, clip=True)

    assert (wallet(), code_row(code).status) == (0, "active")


def spend(amount: int) -> None:
    player = Player.objects.get(external_id="ana")
    cause = Cause(
        tenant_id=player.tenant_id, source_type="api", source_id="1", kind="api_key", id="1"
    )
    gold = book_of(player.tenant_id).currencies["gold"]
    with transaction.atomic(), settling([player.pk], now=NOON) as settlement:
        settlement.debit(player.pk, gold, Decimal(amount), cause=cause, key="spend")


def test_a_redemption_whose_grant_was_revoked_before_can_still_be_reversed(
    tenant_a: Tenant,
) -> None:
    code = make_codes(make_coupon(tenant_a))[0]
    done = redeem(tenant_a, code.code)
    revoke_grant(tenant_a.pk, done.order_id, reason="wrong", actor=SYSTEM, now=NOON)

    reverse(tenant_a, done.redemption_id)

    assert code_row(code).status == "active"


def test_another_tenants_redemption_is_not_found(tenant_a: Tenant, tenant_b: Tenant) -> None:
    make_custom(tenant_b)
    done = redeem(tenant_b, "SUMMER", "cleo")

    with pytest.raises(NotFoundError):
        reverse(tenant_a, done.redemption_id)


# --- Together ------------------------------------------------------------------------------------


def together(tenant: Tenant, *asks: tuple[str, str]) -> list[str]:
    """Redeem (player, code) pairs in one go; return outcomes as ``outcome`` does."""
    sent = [RedeemAsk(tenant.pk, user_id, code) for user_id, code in asks]
    found = redemptions.redeem_together(sent, now=NOON)
    return [
        "redeemed" if isinstance(each, Redemption) else getattr(each, "code", repr(each))
        for each in found
    ]


def test_those_who_come_together_each_get_their_own_answer(tenant_a: Tenant) -> None:
    random = make_codes(make_coupon(tenant_a))[0].code
    bens = make_codes(make_coupon(tenant_a), "ben")[0].code
    make_custom(tenant_a, usage_limit=limit("per_user", 1))
    Player.objects.create(tenant=tenant_a, external_id="closed", status="closed")

    found = together(
        tenant_a,
        ("ana", "SUMMER"),
        ("ben", bens),
        ("cleo", bens),
        ("dora", random.lower()),
        ("closed", "SUMMER"),
        ("emil", "NOSUCHCODE"),
        ("ana", "SUMMER"),
        ("a/b", "SUMMER"),
    )

    assert found == [
        "redeemed",
        "redeemed",
        "AUTH_005",
        "redeemed",
        "AUTH_005",
        "NOT_FOUND",
        "COUPON_ALREADY_REDEEMED",
        "VAL_001",
    ]
    assert counts() == (3, 3)
    assert not Player.objects.filter(external_id__in=["cleo", "emil"]).exists()


def test_many_cost_no_more_statements_than_two(
    tenant_a: Tenant,
) -> None:
    make_custom(tenant_a, item=make_item(tenant_a))
    asks = [(f"player-{number}", "SUMMER") for number in range(40)]
    for name, _code in asks:
        Player.objects.create(tenant=tenant_a, external_id=name)
    together(tenant_a, *asks[:2])

    with CaptureQueriesContext(connection) as two:
        together(tenant_a, *asks[2:4])
    with CaptureQueriesContext(connection) as many:
        together(tenant_a, *asks[4:])

    assert len(many) == len(two)
    assert wallet("player-39") == 100


def test_a_limit_that_is_reached_together_serves_the_first(tenant_a: Tenant) -> None:
    coupon = make_custom(tenant_a, usage_limit=limit("total", 3))

    found = together(tenant_a, *((f"player-{number}", "SUMMER") for number in range(5)))

    assert found == ["redeemed"] * 3 + ["COUPON_LIMIT_REACHED"] * 2
    assert CouponTally.objects.get(coupon=coupon).redeemed == 3
    assert counts() == (3, 3)


def test_one_random_code_wanted_by_two_together_goes_to_the_first(tenant_a: Tenant) -> None:
    code = make_codes(make_coupon(tenant_a))[0].code

    assert together(tenant_a, ("ana", code), ("ben", code)) == [
        "redeemed",
        "COUPON_ALREADY_REDEEMED",
    ]


def test_a_fault_of_our_own_with_one_leaves_the_others_theirs(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_custom(tenant_a)
    give = redemptions._grant

    def break_down(settlement: Any, claim: Any) -> Any:
        if claim.ask.user_id == "ben":
            raise ZeroDivisionError
        return give(settlement, claim)

    monkeypatch.setattr(redemptions, "_grant", break_down)

    found = together(tenant_a, ("ana", "SUMMER"), ("ben", "SUMMER"), ("cleo", "SUMMER"))

    assert found == ["redeemed", "ZeroDivisionError()", "redeemed"]
    assert counts() == (2, 2)


def test_when_nobody_knows_what_was_committed_nothing_is_done_again(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_custom(tenant_a)
    tried: list[Any] = []

    def lose(asks: Any, now: Any) -> Any:
        tried.append(asks)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(redemptions, "_settle", lose)
    monkeypatch.setattr(redemptions, "_is_lost", lambda error: True)

    found = together(tenant_a, ("ana", "SUMMER"), ("ben", "SUMMER"))

    assert len(tried) == 1
    assert all("OperationalError" in each for each in found)


def test_failures_of_those_who_come_together_are_counted_for_each(tenant_a: Tenant) -> None:
    make_custom(tenant_a)

    found = together(
        tenant_a,
        *((("ana", "NOSUCHCODE"),) * (COUPON_FAILURES + 2)),
        ("ben", "SUMMER"),
    )

    assert found.count("NOT_FOUND") == COUPON_FAILURES
    assert found.count("RATE_001") == 2
    assert found[-1] == "redeemed"
    assert outcome(tenant_a, "SUMMER") == "RATE_001"


# --- Races ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_acceptance_28_two_simultaneous_redeems_of_one_random_code(
        self, tenant_a: Tenant
    ) -> None:
        code = make_codes(make_coupon(tenant_a))[0].code
        works = [partial(outcome, tenant_a, code, name) for name in ("ana", "ben")]

        assert sorted(at_once(works)) == ["COUPON_ALREADY_REDEEMED", "redeemed"]
        assert counts() == (1, 1)

    def test_acceptance_29_a_hundred_players_at_a_code_for_ten(self, tenant_a: Tenant) -> None:
        coupon = make_custom(tenant_a, usage_limit=limit("total", 10))

        def try_ten(first: int) -> list[str]:
            names = [f"player-{first + number}" for number in range(10)]
            return [outcome(tenant_a, "SUMMER", name) for name in names]

        works: list[Callable[[], list[str]]] = [partial(try_ten, 10 * n) for n in range(10)]
        answers = [answer for answers in at_once(works) for answer in answers]

        assert answers.count("redeemed") == 10
        assert answers.count("COUPON_LIMIT_REACHED") == 90
        assert counts() == (10, 10)
        assert CouponTally.objects.get(coupon=coupon).redeemed == 10

    def test_one_player_at_once_never_exceeds_the_limit_per_player(self, tenant_a: Tenant) -> None:
        make_custom(tenant_a, usage_limit=limit("per_user", 2))
        answers = at_once([partial(outcome, tenant_a, "SUMMER")] * 6)

        assert answers.count("redeemed") == 2
        assert answers.count("COUPON_LIMIT_REACHED") == 4
        assert CouponUse.objects.get().count == 2

    def test_a_void_and_a_redemption_at_once_end_in_one_of_them(self, tenant_a: Tenant) -> None:
        codes = make_codes(make_coupon(tenant_a), count=4)

        def void_it(code: str) -> str:
            try:
                void(tenant_a, code)
            except StateConflictError as exc:
                return exc.code
            return "voided"

        for code in codes:
            answers = set(
                at_once([partial(void_it, code.code), partial(outcome, tenant_a, code.code)])
            )
            assert answers in ({"voided", "COUPON_VOID"}, {"STATE_CONFLICT", "redeemed"})
