from django.db import models
from django.db.models import Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from tenants.models import Tenant


class Job(UuidModel, TimestampedModel):
    """Work too long for one request: a row first, then a worker; see ``services.jobs``."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=40)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    # From 0 to 1.
    progress = models.DecimalField(max_digits=5, decimal_places=4, default=0)
    parameters = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    error = models.JSONField(null=True)
    # Where the next attempt goes on; private to the kind of job.
    checkpoint = models.JSONField(default=dict)
    author = models.CharField(max_length=255, blank=True, default="")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    is_cancel_requested = models.BooleanField(default=False)
    # Rises with every start: what an earlier worker still writes is refused by it.
    attempt = models.PositiveIntegerField(default=0)
    # Running: a worker that gives no sign of life until then has lost the job. Queued: not before.
    leased_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # A tenant's jobs, newest first.
            models.Index(fields=["tenant", "-created_at"], name="job_by_tenant"),
            # The sweep that starts what waits or was lost.
            models.Index(
                fields=["created_at"],
                name="job_unfinished",
                condition=Q(status__in=["queued", "running"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.status}"
