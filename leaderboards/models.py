from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from leaderboards.constants import BOARD_ID_PATTERN, RESERVED_BOARD_IDS
from phoenix_site.common.models import TimestampedModel, UuidModel
from tenants.models import Tenant


class Leaderboard(UuidModel, TimestampedModel):
    """A competition inside one tenant; ``config`` is the document of the newest version."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        INACTIVE = "inactive", "Inactive"
        ARCHIVED = "archived", "Archived"

    # Every read by tenant is served by the first constraint below.
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    leaderboard_id = models.CharField(
        max_length=64,
        db_collation="C",
        help_text="Letters, digits, - and _; never reused, not changeable.",
    )
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=2000, blank=True, default="")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    version = models.PositiveIntegerField(default=1)
    reward_config_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - the contract's null
    config = models.JSONField()
    # When the clock asks for the board's next window; null when it never will again.
    next_window_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            # Also the list of a tenant's boards, in order, and one board by its id.
            models.UniqueConstraint(
                fields=["tenant", "leaderboard_id"], name="leaderboard_id_once_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(leaderboard_id__regex=BOARD_ID_PATTERN)
                & ~Q(leaderboard_id__in=sorted(RESERVED_BOARD_IDS)),
                name="leaderboard_id_is_a_slug",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["active", "inactive", "archived"]),
                name="leaderboard_status_is_known",
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="leaderboard_version_from_1"),
        ]
        indexes = [
            # The sweep that opens windows: whose next one is due.
            models.Index(
                fields=["next_window_at"],
                name="leaderboard_next_window",
                condition=Q(next_window_at__isnull=False),
            ),
            # What an event of the tenant may score on.
            models.Index(
                fields=["tenant"], name="leaderboard_not_archived", condition=~Q(status="archived")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.leaderboard_id})"


class BoardVersion(models.Model):
    """What a leaderboard was from one change to the next; a trigger refuses any change."""

    class Effect(models.TextChoices):
        AT_ONCE = "at_once", "At once"
        NEXT_WINDOW = "next_window", "With the next window"
        RECOMPUTE = "recompute", "At once, the open window recomputed"

    id = models.BigAutoField(primary_key=True)
    # Here and below: a constraint that begins with the same column serves as the key's index.
    board = models.ForeignKey(
        Leaderboard, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    version = models.PositiveIntegerField()
    # The whole object as answered: name, description, reward_config_id and config.
    document = models.JSONField()
    effect = models.CharField(max_length=11, choices=Effect.choices, default=Effect.AT_ONCE)
    author = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            # One version, and a board's versions in order.
            models.UniqueConstraint(fields=["board", "version"], name="board_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.board_id} version {self.version}"


class StatusChange(models.Model):
    """From ``at`` on the board had ``status``: an event counts by what held when it arrived."""

    id = models.BigAutoField(primary_key=True)
    board = models.ForeignKey(
        Leaderboard, on_delete=models.CASCADE, related_name="status_changes", db_index=False
    )
    status = models.CharField(max_length=8, choices=Leaderboard.Status.choices)
    at = models.DateTimeField()
    author = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        constraints = [
            # One status at one instant; reads a board's history in order, for scorer and proof.
            models.UniqueConstraint(fields=["board", "at"], name="status_change_once_per_instant"),
        ]

    def __str__(self) -> str:
        return f"{self.board_id} {self.status} from {self.at}"


class Window(UuidModel):
    """One ``[starts_at, ends_at)`` period of a board; ``ends_at`` is null for all time."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSING = "closing", "Closing"
        CLOSED = "closed", "Closed"
        VOID = "void", "Void"

    board = models.ForeignKey(
        Leaderboard, on_delete=models.PROTECT, related_name="windows", db_index=False
    )
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    # Ordered byte for byte, so that keys of one period lie together.
    key = models.CharField(max_length=64, db_collation="C")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    # ends_at + grace_seconds; later a window may be frozen. Null when it never closes.
    due_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=7, choices=State.choices, default=State.OPEN)
    # The config version that scores this window from its start to its end.
    version_number = models.PositiveIntegerField()
    # Transactions below this id may have stored events for the window (LB-59); null until known.
    freeze_barrier = models.BigIntegerField(null=True)
    closed_at = models.DateTimeField(null=True)
    hash = models.CharField(max_length=64, blank=True, default="")
    previous_hash = models.CharField(max_length=64, blank=True, default="")
    revision = models.PositiveIntegerField(default=0)
    # Of a closed window: how many are ranked, and how many of them its list shows.
    total_players = models.PositiveIntegerField(default=0)
    entry_count = models.PositiveIntegerField(default=0)
    # How often the entries were computed anew: a rank index of an earlier count is not used.
    generation = models.PositiveIntegerField(default=0)
    # Counts the changes of what scoring the window depends on: its config version, its bounds,
    # the board's status. A batch that finds another number under its lock plans anew.
    plan = models.PositiveIntegerField(default=0)
    # Events received before it count whatever the board's status was then: set by a rebuild.
    backfilled_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["board", "key"], name="window_key_once_per_board"),
            # Also the window of an instant, and the list newest first. A trigger refuses windows
            # that overlap.
            models.UniqueConstraint(fields=["board", "starts_at"], name="window_start_once"),
            models.CheckConstraint(
                condition=Q(state__in=["open", "closing", "closed", "void"]),
                name="window_state_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="closed") | Q(closed_at__isnull=False, revision__gte=1),
                name="window_closed_has_its_result",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="window_has_a_length",
            ),
        ]
        indexes = [
            # The sweep: what is due and still open or closing, oldest first.
            models.Index(
                fields=["due_at"],
                name="window_due",
                condition=Q(state__in=["open", "closing"]),
            ),
            # The sweep: what has ended and is not marked as closing yet.
            models.Index(fields=["ends_at"], name="window_ended", condition=Q(state="open")),
            # What a tenant's events may still score in.
            models.Index(
                fields=["tenant", "starts_at"],
                name="window_of_tenant",
                condition=Q(state__in=["open", "closing"]),
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def is_scored(self) -> bool:
        """Return whether events may still change the window's entries."""
        return self.state in (Window.State.OPEN, Window.State.CLOSING)

    def state_at(self, now: datetime) -> str:
        """Return the state that readers see: the sweep marks an end a moment after it came."""
        has_ended = self.ends_at is not None and self.ends_at <= now
        return Window.State.CLOSING if self.state == "open" and has_ended else self.state


class WindowShard(models.Model):
    """Counts the batches of one shard that changed a window.

    Only the worker that holds the shard's cursor touches the row, so nobody waits for it. The
    rank index carries the same numbers; where they differ, it lacks changes.
    """

    id = models.BigAutoField(primary_key=True)
    window = models.ForeignKey(
        Window, on_delete=models.CASCADE, related_name="shards", db_index=False
    )
    shard = models.PositiveSmallIntegerField()
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["window", "shard"], name="window_shard_once"),
        ]

    def __str__(self) -> str:
        return f"{self.window_id}/{self.shard} at {self.version}"


class Entry(models.Model):
    """A player's score in a window. Scores and points are whole numbers of 10^-decimals."""

    id = models.BigAutoField(primary_key=True)
    window = models.ForeignKey(
        Window, on_delete=models.CASCADE, related_name="entries", db_index=False
    )
    # The window's tenant; checking it again would lock the tenant's row for every new entry.
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    # Compared and ordered byte for byte.
    user_id = models.CharField(max_length=128, db_collation="C")
    shard = models.PositiveSmallIntegerField()
    score = models.BigIntegerField()
    reached_at = models.DateTimeField()
    event_count = models.PositiveIntegerField()
    # Exact sum of points; beyond bigint only for averages over very many events.
    total = models.DecimalField(max_digits=30, decimal_places=0)
    # The latest event by occurred_at, then by its place in the log: decides under ``last``.
    last_occurred_at = models.DateTimeField()
    last_xid = models.BigIntegerField()
    last_event = models.BigIntegerField()
    # False while all points were 0: then a later zero does not move ``reached_at`` of a sum.
    has_points = models.BooleanField(default=False)
    # The WindowShard version whose batch wrote the row last.
    change = models.BigIntegerField()

    class Meta:
        constraints = [
            # Also serves reading one player and the set-wise upsert.
            models.UniqueConstraint(fields=["window", "user_id"], name="entry_one_per_player"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.window_id}: {self.score}"


class FrozenStanding(models.Model):
    """A rank of a closed window; a trigger refuses any change."""

    id = models.BigAutoField(primary_key=True)
    window = models.ForeignKey(
        Window, on_delete=models.PROTECT, related_name="frozen", db_index=False
    )
    revision = models.PositiveIntegerField()
    # 1-based place in the list, one each, whatever the tie policy makes of the rank.
    place = models.PositiveIntegerField()
    rank = models.PositiveIntegerField()
    user_id = models.CharField(max_length=128, db_collation="C")
    score = models.BigIntegerField()
    reached_at = models.DateTimeField()

    class Meta:
        constraints = [
            # The list of a closed window, page by page.
            models.UniqueConstraint(
                fields=["window", "revision", "place"], name="frozen_place_once"
            ),
            # One player of a closed window.
            models.UniqueConstraint(
                fields=["window", "revision", "user_id"], name="frozen_player_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rank}. {self.user_id} in {self.window_id}"


class Snapshot(models.Model):
    """The first rows of a board at one instant (a final one is the closed window itself)."""

    id = models.BigAutoField(primary_key=True)
    board = models.ForeignKey(
        Leaderboard, on_delete=models.CASCADE, related_name="snapshots", db_index=False
    )
    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="snapshots")
    taken_at = models.DateTimeField()
    is_final = models.BooleanField(default=False)
    entry_count = models.PositiveIntegerField()
    total_players = models.PositiveIntegerField()
    hash = models.CharField(max_length=64)
    # [[rank, user_id, score, reached_at], …]; empty for a final one, whose rows are frozen.
    rows = models.JSONField(default=list)

    class Meta:
        constraints = [
            # Also a board's snapshots, newest first.
            models.UniqueConstraint(fields=["board", "taken_at"], name="snapshot_once_per_instant"),
        ]
        indexes = [
            # Retention: interim ones that are older than the tenant keeps them.
            models.Index(
                fields=["taken_at"], name="snapshot_interim_oldest", condition=Q(is_final=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.board_id} at {self.taken_at}"


class LateEvent(models.Model):
    """An event that reached the log after its window's grace: kept, shown, not scored."""

    id = models.BigAutoField(primary_key=True)
    window = models.ForeignKey(
        Window, on_delete=models.CASCADE, related_name="late_events", db_index=False
    )
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    event_id = models.CharField(max_length=128)
    user_id = models.CharField(max_length=128)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            # Repeating a batch adds nothing; also the list on the window's page.
            models.UniqueConstraint(fields=["window", "event_id"], name="late_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} late for {self.window_id}"


class RefusedEvent(models.Model):
    """An event that should have counted in a window and could not; its reason is in quarantine.

    Other windows are not concerned. Replaying counts it here and nowhere twice; recomputing the
    window leaves it out where it stands in the log and adds those counted later at the end.
    """

    id = models.BigAutoField(primary_key=True)
    window = models.ForeignKey(
        Window, on_delete=models.CASCADE, related_name="refused_events", db_index=False
    )
    # The event's row in the log; it lives as long as the quarantine entry needs it.
    event_row = models.BigIntegerField()
    user_id = models.CharField(max_length=128)
    code = models.CharField(max_length=32)
    counted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # Repeating a batch adds nothing; also what recomputing a window leaves out.
            models.UniqueConstraint(fields=["window", "event_row"], name="refused_event_once"),
        ]
        indexes = [
            # A replay: where did this event not count?
            models.Index(fields=["event_row"], name="refused_event_by_row"),
        ]

    def __str__(self) -> str:
        return f"{self.event_row} refused in {self.window_id}"
