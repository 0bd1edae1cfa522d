import json
from decimal import Decimal
from typing import Any

from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Func, Q

from phoenix_site.common.models import UuidModel
from tenants.models import Tenant


class TransactionIdField(models.Field[int, int]):
    """A 64-bit PostgreSQL transaction id (``xid8``): it never wraps around."""

    def db_type(self, connection: Any) -> str:
        return "xid8"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value)

    def to_python(self, value: Any) -> int | None:
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> Any:
        # Numbers have no cast to xid8; a text literal does.
        return str(value) if isinstance(value, int) else value


class ExactDecoder(json.JSONDecoder):
    """Read JSON without turning a fraction into a binary float."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"parse_float": Decimal})


class EventQuerySet(models.QuerySet["Event"]):
    def for_tenant(self, tenant_id: str) -> "EventQuerySet":
        return self.filter(tenant_id=tenant_id)


class Event(models.Model):
    """A row of the append-only log; triggers refuse changes, see the migration.

    Rows are written by ``services.store`` only and read in order by ``services.cursors`` only.
    """

    class Source(models.TextChoices):
        API = "api", "API"
        IMPORT = "import", "Import"
        INTERNAL = "internal", "Internal"

    # Columns of fixed width first: rows are smaller without padding between them.
    id = models.BigAutoField(primary_key=True)
    xid = TransactionIdField(
        db_default=Func(function="pg_current_xact_id", output_field=TransactionIdField()),
        editable=False,
    )
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    credential_id = models.UUIDField(null=True, editable=False)
    schema_version = models.IntegerField(null=True, editable=False)
    shard = models.SmallIntegerField(editable=False)
    depth = models.SmallIntegerField(db_default=0, editable=False)
    # No constraint in the database: checking it would lock the tenant's row for every event.
    tenant = models.ForeignKey(
        Tenant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    # Compared byte for byte, which is also what makes their indexes fast.
    event_id = models.TextField(db_collation="C")
    type = models.TextField(db_collation="C")
    user_id = models.TextField(null=True, db_collation="C")  # noqa: DJ001 - null: about no player
    source = models.TextField(choices=Source.choices, db_default=Source.API)
    request_id = models.TextField(null=True, editable=False)  # noqa: DJ001 - internal events
    cause = models.TextField(null=True, editable=False)  # noqa: DJ001 - most have none
    content_hash = models.BinaryField(editable=False)
    metadata = models.JSONField(db_default={}, decoder=ExactDecoder)
    attrs = models.JSONField(db_default={}, decoder=ExactDecoder)

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "event_id"], name="event_once_per_tenant"),
            models.CheckConstraint(condition=Q(depth__gte=0), name="event_depth_not_negative"),
        ]
        indexes = [
            # A consumer's next batch: shard = …, (xid, id) > …, in that order.
            models.Index(fields=["shard", "xid", "id"], name="event_shard_order"),
            # A tenant's events newest first, by time received; the retention purge.
            models.Index(fields=["tenant", "received_at", "id"], name="event_newest"),
            # A player's events newest first; erasing a player.
            models.Index(
                fields=["tenant", "user_id", "received_at", "id"], name="event_player_newest"
            ),
        ]

    def __str__(self) -> str:
        return self.event_id


class Cursor(models.Model):
    """Where a consumer is in a shard; whoever has it locked works on the shard."""

    consumer = models.TextField()
    shard = models.SmallIntegerField()
    last_xid = TransactionIdField(default=0)
    last_id = models.BigIntegerField(default=0)
    processed_count = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["consumer", "shard"], name="cursor_one_per_consumer_and_shard"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.consumer} {self.shard}"


class QuarantineEntry(UuidModel):
    """An event that a consumer cannot process, until someone replays or discards it."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        REPLAYED = "replayed", "Replayed"
        DISCARDED = "discarded", "Discarded"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="+")
    consumer = models.TextField()
    code = models.TextField()
    message = models.TextField()
    state = models.TextField(choices=State.choices, default=State.OPEN)
    tries = models.PositiveIntegerField(default=1)
    first_failed_at = models.DateTimeField(db_default=TransactionNow())
    last_failed_at = models.DateTimeField(db_default=TransactionNow())
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.TextField(blank=True, default="")
    reason = models.TextField(blank=True, default="")

    class Meta:
        verbose_name_plural = "quarantine entries"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "consumer", "event"],
                name="quarantine_once_per_consumer_and_event",
            ),
            models.CheckConstraint(
                condition=Q(state="open", resolved_at=None)
                | (~Q(state="open") & Q(resolved_at__isnull=False)),
                name="quarantine_resolved_has_time",
            ),
        ]
        indexes = [
            # The admin's list: open entries of a tenant, newest first.
            models.Index(
                fields=["tenant", "state", "-last_failed_at"], name="quarantine_open_newest"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.consumer}: {self.event_id}"
