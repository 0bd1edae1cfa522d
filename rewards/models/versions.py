from django.db import models

from phoenix_site.common.models import UuidModel
from tenants.models import Tenant


class DocumentVersion(UuidModel):
    """What an object of rewards was after one change; a trigger refuses any change of the row.

    ``kind`` names the table (``reward_item``, ``achievement``…); rules keep versions of their own.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=32)
    object_id = models.UUIDField()
    version = models.PositiveIntegerField()
    document = models.JSONField()
    author = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            # One version, and an object's versions in order.
            models.UniqueConstraint(
                fields=["kind", "object_id", "version"], name="document_version_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id} version {self.version}"


class BookStamp(models.Model):
    """A number drawn anew with every change of what a tenant has configured, by which a cached
    copy knows whether it is still the newest.
    """

    tenant = models.OneToOneField(
        Tenant, primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.number}"
