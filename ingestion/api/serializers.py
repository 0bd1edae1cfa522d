from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from ingestion.constants import MAX_BULK_EVENTS
from ingestion.models import Event
from ingestion.types import EventFilter, EventPage, StoredEvent
from phoenix_site.common.times import format_utc, parse_rfc3339

MAX_PAGE_EVENTS = 1000
DEFAULT_PAGE_EVENTS = 100


class Rfc3339Field(serializers.DateTimeField):
    """A time with an offset, answered in UTC with ``Z``."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return parse_rfc3339(value)
        except ValueError as exc:
            raise serializers.ValidationError(str(exc), code="bad_value") from exc

    def to_representation(self, value: Any) -> str:
        return format_utc(value)


class ActorInput(serializers.Serializer[Any]):
    """Describes the request only; ``rules.validation`` reads it."""

    user_id = serializers.CharField(
        max_length=128, help_text="The player's external id: no control character, no slash."
    )
    metadata = serializers.DictField(required=False)


class EventInputShape(serializers.Serializer[Any]):
    """Describes the request only; ``rules.validation`` reads it."""

    event_id = serializers.CharField(
        max_length=128, help_text="Visible ASCII, unique in the tenant; makes repeats harmless."
    )
    type = serializers.CharField(max_length=100)
    actor = ActorInput()
    occurred_at = Rfc3339Field()
    attrs = serializers.DictField()
    tenant_id = serializers.CharField(
        required=False, help_text="Ignored: the credential's tenant is stored."
    )


class BulkInputShape(serializers.Serializer[Any]):
    events = serializers.ListField(
        child=EventInputShape(), min_length=1, max_length=MAX_BULK_EVENTS
    )


class StoredOutput(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["accepted"])
    event_id = serializers.CharField()
    duplicate = serializers.BooleanField(help_text="True when the same event was stored before.")
    warnings = serializers.ListField(
        child=serializers.ChoiceField(choices=["tenant_id_replaced", "older_shape"]),
        required=False,
    )


class FaultOutput(serializers.Serializer[Any]):
    field = serializers.CharField()
    message = serializers.CharField()
    reason = serializers.CharField()


class ItemOutput(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    event_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["accepted", "duplicate", "conflict", "rejected"])
    code = serializers.CharField(required=False)
    error = serializers.CharField(required=False)
    details = FaultOutput(many=True, required=False)
    warnings = serializers.ListField(child=serializers.CharField(), required=False)


class BulkOutput(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["accepted", "partial", "rejected"])
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = ItemOutput(many=True)


class HealthOutput(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["healthy"])
    credential = serializers.CharField(required=False)
    tenant_ids = serializers.ListField(child=serializers.CharField(), required=False)


class ReadyOutput(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ready", "degraded", "not_ready"])
    database = serializers.CharField()
    message_queue = serializers.CharField()
    last_worker_heartbeat = Rfc3339Field(allow_null=True)
    largest_consumer_lag_seconds = serializers.FloatField(allow_null=True)


class EventQuery(serializers.Serializer[Any]):
    user_id = serializers.CharField(required=False, trim_whitespace=False)
    type = serializers.CharField(required=False, trim_whitespace=False)
    # The names are the contract's; the framework has attributes that are called alike.
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=Event.Source.choices, required=False
    )
    occurred_from = Rfc3339Field(required=False, help_text="Included.")
    occurred_to = Rfc3339Field(required=False, help_text="Not included.")
    received_from = Rfc3339Field(required=False, help_text="Included.")
    received_to = Rfc3339Field(required=False, help_text="Not included.")
    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_PAGE_EVENTS, default=DEFAULT_PAGE_EVENTS
    )
    after = serializers.CharField(required=False, help_text="The next of the last answer.")

    def wanted(self) -> EventFilter:
        """Return the filter part of a valid query."""
        sent: Mapping[str, Any] = self.validated_data
        return EventFilter(**{name: sent[name] for name in sent if name not in ("limit", "after")})


class ActorOutput(serializers.Serializer[StoredEvent]):
    user_id = serializers.CharField(allow_null=True)
    metadata = serializers.JSONField()


class EventOutput(serializers.Serializer[StoredEvent]):
    event_id = serializers.CharField()
    type = serializers.CharField()
    actor = ActorOutput(source="*")
    occurred_at = Rfc3339Field()
    received_at = Rfc3339Field()
    source = serializers.CharField()  # type: ignore[assignment]  # as above
    attrs = serializers.JSONField()


class EventPageOutput(serializers.Serializer[EventPage]):
    events = EventOutput(many=True)
    next = serializers.CharField(allow_null=True)


class EventDetailOutput(EventOutput):
    cause = serializers.CharField(allow_null=True)
    effects = serializers.ListField(
        child=serializers.DictField(), help_text="What each consumer made of the event."
    )
