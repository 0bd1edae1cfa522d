from django.db import models

from phoenix_site.common.models import UuidModel
from tenants.models.tenants import Tenant


class IdempotencyRecord(UuidModel):
    """The first answer to an idempotency key, or the promise of one while it is being made."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    credential = models.CharField(max_length=64)
    method = models.CharField(max_length=10)
    path = models.TextField()
    key = models.CharField(max_length=255)
    content_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True, blank=True)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "credential", "method", "path", "key"],
                nulls_distinct=False,
                name="idempotency_one_answer_per_key",
            )
        ]
        indexes = [
            # Finds what may go: services.idempotency.purge_expired.
            models.Index(fields=["expires_at"], name="idempotency_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class AuditEntry(UuidModel):
    """Who changed what, when and from where. A trigger forbids changing it afterwards."""

    at = models.DateTimeField()
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=255, blank=True)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=128, blank=True)
    object_label = models.CharField(max_length=255, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            # The audit page of a tenant's staff, newest first.
            models.Index(fields=["tenant", "-at"], name="audit_by_tenant"),
            # The audit page of superusers, newest first, and retention.
            models.Index(fields=["-at"], name="audit_by_time"),
            # The history of one object.
            models.Index(fields=["object_type", "object_id", "-at"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_label or self.object_id}".strip()
