"""Coupons, what they are worth, and players who redeem them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

from phoenix_site.common.exceptions import DomainError
from rewards.models import Coupon, CouponCode, CouponRedemption, Grant, Job, RewardItem
from rewards.services import coupon_codes, coupons, documents, jobs, redemptions
from rewards.types.coupons import Redemption, ShownCode
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.ledger_cast import make_currency

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
Answer = TypeVar("Answer")


def make_item(tenant: Tenant, name: str = "Welcome gift", **fields: Any) -> RewardItem:
    """Make an item; by default one of 100 gold, which is made with it."""
    if not fields:
        make_currency(tenant, "gold")
        fields = {
            "reward_type": "currency",
            "payload": {"currency_id": "gold", "amount": 100},
        }
    item = RewardItem.objects.create(tenant=tenant, name=name, **fields)
    documents.bump(tenant.pk)
    return item


def make_badge(tenant: Tenant, name: str = "Guest", **more: Any) -> RewardItem:
    payload = {"badge_id": name.lower(), "tier": None}
    return make_item(tenant, name, reward_type="badge", payload=payload, **more)


def make_coupon(tenant: Tenant, item: RewardItem | None = None, **config: Any) -> Coupon:
    """Make a coupon of random codes without limits; ``config`` changes its config."""
    item = item or RewardItem.objects.filter(tenant=tenant).first() or make_badge(tenant)
    document = {
        "name": config.pop("name", "Welcome"),
        "status": config.pop("status", "active"),
        "config": {
            "reward_item_id": str(item.pk),
            "usage_limit": {"limit_type": "unlimited"},
            **config,
        },
    }
    return coupons.create_coupon(tenant.pk, document, actor=SYSTEM, now=NOON)


def make_custom(tenant: Tenant, code: str = "SUMMER", **config: Any) -> Coupon:
    return make_coupon(tenant, code_format="custom", custom_code=code, **config)


def limit(kind: str, uses: int) -> dict[str, Any]:
    return {"limit_type": kind, "max_uses": uses}


def make_codes(coupon: Coupon, *user_ids: str, count: int = 1) -> list[ShownCode]:
    document: dict[str, Any] = {"user_ids": list(user_ids)} if user_ids else {"count": count}
    made = coupon_codes.generate(coupon.tenant_id, coupon.pk, document, actor=SYSTEM, now=NOON)
    assert isinstance(made, list)
    return made


def redeem(tenant: Tenant, code: str, user_id: str = "ana", now: datetime = NOON) -> Redemption:
    return redemptions.redeem(tenant.pk, user_id, code, now=now)


def outcome(tenant: Tenant, code: str, user_id: str = "ana", now: datetime = NOON) -> str:
    """Return ``redeemed``, or the code of the refusal."""
    try:
        redeem(tenant, code, user_id, now)
    except DomainError as exc:
        return exc.code
    return "redeemed"


def reason(tenant: Tenant, code: str, user_id: str = "ana", now: datetime = NOON) -> str | None:
    return redemptions.validate(tenant.pk, user_id, code, now=now).reason


def redeemed_coupon(tenant: Tenant, user_id: str) -> dict[type[Model], Model]:
    """Make one row of everything that coupons have, for the checks of who sees what."""
    coupon = make_coupon(tenant, name=f"Coupon of {user_id}", code_prefix=user_id)
    code = make_codes(coupon, user_id)[0]
    done = redeem(tenant, code.code, user_id)
    parameters = {"coupon_id": str(coupon.pk), "user_ids": [user_id]}
    return {
        Coupon: coupon,
        CouponCode: code_row(code),
        CouponRedemption: CouponRedemption.objects.get(pk=done.redemption_id),
        Job: jobs.enqueue(tenant.pk, "coupon_codes", parameters, user_id, NOON),
    }


def counts() -> tuple[int, int]:
    """Return how many redemptions hold, and how many grants coupons brought."""
    held = CouponRedemption.objects.filter(reversed_at=None).count()
    return held, Grant.objects.filter(source_type="coupon").count()


def code_row(code: ShownCode) -> CouponCode:
    return CouponCode.objects.get(pk=code.code_id)


def at_once(works: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Return what each work gives, all begun together, each on a connection of its own."""
    answers: list[Answer] = []
    errors: list[BaseException] = []
    barrier = Barrier(len(works))

    def run(work: Callable[[], Answer]) -> None:
        try:
            barrier.wait(30)
            answers.append(work())
        except BaseException as exc:  # noqa: BLE001 - told to the test
            errors.append(exc)
        finally:
            connection.close()

    threads = [Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
    return answers
