"""What the tests of deliveries share: a cheap way to owe a call, and a clock that is set."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tenants.models import Delivery, DeliveryAttempt
from tenants.services import deliveries

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
KIND = "bonus_credit"
# What the handler of the tests was told, newest last.
told: list[dict[str, Any]] = []
# Exceptions that the handler raises, one a call.
faults: list[Exception] = []


class Clock:
    """Says the time that the test has set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **time: float) -> datetime:
        """Set the clock forward."""
        self.now += timedelta(**time)
        return self.now


def hear(**end: Any) -> None:
    """Stand for an app's handler (named in ``PHOENIX_DELIVERY_HANDLERS``)."""
    if faults:
        raise faults.pop(0)
    told.append(end)


def owe(key: str = "grant-1", **chosen: Any) -> Delivery:
    """Owe a call of tenant A."""
    wanted: dict[str, Any] = {
        "tenant_id": "tenant-a",
        "kind": KIND,
        "path_or_url": "/api/bonuses/v1/credit",
        "body": {"rewardId": key, "amount": 5},
        "headers": {"Idempotency-Key": key},
        "reference": key,
        "now": NOW,
    }
    return deliveries.enqueue(key=key, **(wanted | chosen))


def fresh(delivery: Delivery) -> Delivery:
    """Return the row as it is now."""
    return Delivery.objects.get(pk=delivery.pk)


def attempts(delivery: Delivery) -> list[DeliveryAttempt]:
    """Return the attempts in order."""
    return list(delivery.attempts.order_by("number"))
