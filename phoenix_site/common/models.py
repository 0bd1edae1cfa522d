"""Abstract models that every app may build on."""

import uuid

from django.db import models

from phoenix_site.common.ids import uuid7


class UuidModel(models.Model):
    """A row whose id the machine makes: UUIDv7, so new rows lie together on disk."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

    @property
    def id_text(self) -> str:
        """Return the id as contracts show it."""
        return str(uuid.UUID(str(self.pk)))


class TimestampedModel(models.Model):
    """A row that knows when it was made and last changed."""

    created_at = models.DateTimeField(auto_now_add=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)

    class Meta:
        abstract = True
