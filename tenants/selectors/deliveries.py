"""Which deliveries are due; they cross tenants, since one set of senders serves all."""

from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from tenants.constants import MAX_DELIVERIES_IN_FLIGHT
from tenants.models import Delivery

_PENDING = Delivery.State.PENDING


def due_deliveries_across_tenants(*, now: datetime) -> QuerySet[Delivery]:
    """Return what may be sent at ``now``, the longest due first.

    Left out is what waits for an earlier delivery of its order key. What a dead sender held is
    due again when its lease has ended.
    """
    earlier = Delivery.objects.filter(
        tenant_id=OuterRef("tenant_id"),
        order_key=OuterRef("order_key"),
        state=_PENDING,
        id__lt=OuterRef("id"),
    ).exclude(order_key="")
    is_free = Q(order_key="") | Q(ordered_until__lte=now) | ~Exists(earlier)
    return Delivery.objects.filter(is_free, state=_PENDING, due_at__lte=now).order_by("due_at")


def busy_tenant_ids_across_tenants(*, now: datetime) -> list[str]:
    """Return the tenants whose systems are being called as often as they may be. Queries: 1."""
    under_way = Delivery.objects.filter(state=_PENDING, claim__isnull=False, due_at__gt=now)
    counted = under_way.values("tenant_id").annotate(held=Count("id"))
    busy = counted.filter(held__gte=MAX_DELIVERIES_IN_FLIGHT)
    return list(busy.order_by().values_list("tenant_id", flat=True))


def find_delivery(tenant_id: str, key: str) -> Delivery | None:
    """Return the delivery of this key. Queries: 1."""
    return Delivery.objects.filter(tenant_id=tenant_id, key=key).first()
