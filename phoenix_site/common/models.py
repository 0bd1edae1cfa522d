"""Abstract models that every app may build on."""

import json
import uuid
from typing import Any

from django.db import models

from phoenix_site.common.ids import uuid7
from phoenix_site.common.json import decode, encode


class _ExactEncoder(json.JSONEncoder):
    def encode(self, o: Any) -> str:
        return encode(o).decode()


class _ExactDecoder(json.JSONDecoder):
    def decode(self, s: str, *_args: Any) -> Any:
        return decode(s)


class ExactJSONField(models.JSONField):
    """JSON whose fractions stay ``Decimal`` on the way in and out."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("encoder", _ExactEncoder)
        options.setdefault("decoder", _ExactDecoder)
        super().__init__(**options)

    def deconstruct(self) -> Any:
        """Leave the two classes out of migrations: they are what the field is."""
        name, path, args, options = super().deconstruct()
        options.pop("encoder", None)
        options.pop("decoder", None)
        return name, path, args, options


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
