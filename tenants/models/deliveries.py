from django.db import models

from phoenix_site.common.models import UuidModel
from tenants.models.tenants import Tenant


class Delivery(UuidModel):
    """A call that Phoenix owes somebody else's system: the outbox's row.

    It is written in the transaction that caused it and sent afterwards, again and again on the
    schedule, until ``state`` is no longer pending. Whoever sends it takes it by writing ``claim``
    and moving ``due_at`` to the end of the lease, so a sender that dies leaves it due again.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=64, help_text="What it is; decides which answers succeed.")
    key = models.CharField(max_length=255, db_collation="C")
    target = models.TextField(
        help_text="An https address, or a path below the base URL that the operator has by then."
    )
    headers = models.JSONField(default=dict)
    # Text, not jsonb: every attempt sends the same bytes.
    body = models.TextField()
    reference = models.CharField(
        max_length=255, blank=True, help_text="Id of what it is about, such as a grant."
    )
    order_key = models.CharField(
        max_length=255,
        blank=True,
        db_collation="C",
        help_text="Of pending deliveries with one order key the oldest goes first.",
    )
    # Until then it waits for earlier ones of its order key; without an end it waits for ever.
    ordered_until = models.DateTimeField(null=True, blank=True)

    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    due_at = models.DateTimeField()
    # The attempt that is under way; nobody else may close the row while it is there.
    claim = models.UUIDField(null=True, blank=True, editable=False)
    # Attempts of this round of the schedule whose result is known; a retry by staff begins a round.
    step = models.PositiveSmallIntegerField(default=0)
    attempt_count = models.PositiveIntegerField("attempts", default=0)
    last_status = models.PositiveSmallIntegerField("last answer", null=True, blank=True)
    last_error = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "key"], name="delivery_one_per_key"),
            models.CheckConstraint(
                condition=models.Q(state="pending", closed_at__isnull=True)
                | models.Q(
                    state__in=["delivered", "failed"], closed_at__isnull=False, claim__isnull=True
                ),
                name="delivery_closed_has_a_time_and_no_claim",
            ),
        ]
        indexes = [
            # What is due next: services.deliveries.
            models.Index(
                fields=["due_at"], name="delivery_due", condition=models.Q(state="pending")
            ),
            # Whether an earlier one of the same order key is still pending: services.deliveries.
            models.Index(
                fields=["tenant", "order_key", "id"],
                name="delivery_order",
                condition=models.Q(state="pending") & ~models.Q(order_key=""),
            ),
            # The admin's list of a tenant's staff, newest first.
            models.Index(fields=["tenant", "-created_at"], name="delivery_by_tenant"),
            # The admin's list of superusers, newest first.
            models.Index(fields=["-created_at"], name="delivery_by_time"),
            # The deliveries of one grant or the like: search in the admin.
            models.Index(fields=["reference"], name="delivery_by_reference"),
            # What may go: services.deliveries.purge_closed.
            models.Index(
                fields=["closed_at"],
                name="delivery_by_end",
                condition=models.Q(closed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference or self.key}"


class DeliveryAttempt(UuidModel):
    """One try to send a delivery; without an end it is under way, or its sender died."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    request_id = models.CharField(max_length=36)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    milliseconds = models.PositiveIntegerField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=32, blank=True)
    answer = models.TextField(blank=True, help_text="The first 4 KiB of what came back.")

    class Meta:
        ordering = ["delivery_id", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["delivery", "number"], name="delivery_attempt_numbered_once"
            )
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}"
