from django.db import models
from django.db.models import F, Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from players.models import Player
from rewards.models.grants import Grant
from rewards.models.ledger import AmountField
from tenants.models import Tenant


class Streak(UuidModel, TimestampedModel):
    """What players have to do again in every window; ``config`` is the newest, in full form."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        ARCHIVED = "archived", "Archived"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(
        max_length=255, help_text="Letters, digits, spaces, _ and -; one of its kind."
    )
    description = models.CharField(max_length=2000, blank=True, default="")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    config = models.JSONField()
    version = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            # Also the list of a tenant's streaks, in order.
            models.UniqueConstraint(fields=["tenant", "name"], name="streak_name_once_per_tenant"),
            models.CheckConstraint(
                condition=Q(status__in=["active", "paused", "archived"]),
                name="streak_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(name__regex=r"^[A-Za-z0-9 _-]{1,255}$"), name="streak_name_is_plain"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class StreakEdition(models.Model):
    """From ``at`` on the streak had this status and config: an event counts by what held then."""

    id = models.BigAutoField(primary_key=True)
    streak = models.ForeignKey(
        Streak, on_delete=models.CASCADE, related_name="editions", db_index=False
    )
    at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=Streak.Status.choices)
    config = models.JSONField()

    class Meta:
        constraints = [
            # One edition at one instant; a streak's editions in order.
            models.UniqueConstraint(fields=["streak", "at"], name="streak_edition_once"),
        ]

    def __str__(self) -> str:
        return f"{self.streak_id} {self.status} from {self.at}"


class PlayerStreak(UuidModel):
    """A player's run of a streak; a row from the first counted event on.

    The counts are what the windows say. Written under the participant's lock.
    """

    streak = models.ForeignKey(
        Streak, on_delete=models.PROTECT, related_name="players", db_index=False
    )
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    current_count = models.PositiveIntegerField(default=0)
    longest_count = models.PositiveIntegerField(default=0)
    run_starts_at = models.DateTimeField(null=True)
    last_event_at = models.DateTimeField(null=True)
    # Windows that ended by then are closed.
    settled_until = models.DateTimeField(null=True)
    # When the clock has something to do: a notice, or a window that may end the run.
    due_at = models.DateTimeField(null=True)
    # The window of which the player was told that the run is at risk.
    noticed_window_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # What a batch reads, and a player's streaks.
            models.UniqueConstraint(fields=["player", "streak"], name="player_streak_once"),
        ]
        indexes = [
            # The sweep that closes windows, the oldest first.
            models.Index(
                fields=["due_at"], name="player_streak_due", condition=Q(due_at__isnull=False)
            ),
            # A streak's best players, and those whose run a changed streak concerns.
            models.Index(
                fields=["streak", "-current_count"],
                name="player_streak_best",
                condition=Q(current_count__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.current_count} in a row"


class StreakRepair(UuidModel):
    """Windows that staff let count as satisfied; may be taken back."""

    player_streak = models.ForeignKey(
        PlayerStreak, on_delete=models.CASCADE, related_name="repairs"
    )
    # [{"key", "starts_at", "state", "lost"}]: the windows, and what they were before.
    windows = models.JSONField()
    reason = models.CharField(max_length=500)
    actor = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    reversed_at = models.DateTimeField(null=True)
    reversed_by = models.CharField(max_length=255, blank=True, default="")
    reverse_reason = models.CharField(max_length=500, blank=True, default="")

    def __str__(self) -> str:
        return ", ".join(window["key"] for window in self.windows)


class StreakWindow(models.Model):
    """A window in which something was; see ``rewards.rules.streaks.WindowRow``."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SATISFIED = "satisfied", "Satisfied"
        FROZEN = "frozen", "Kept by a freeze"
        MISSED = "missed", "Missed"
        SKIPPED = "skipped", "Skipped by a pause"

    id = models.BigAutoField(primary_key=True)
    player_streak = models.ForeignKey(
        PlayerStreak, on_delete=models.CASCADE, related_name="windows", db_index=False
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    key = models.CharField(max_length=64, db_collation="C")
    # The zone it was opened in; empty for rolling windows.
    timezone = models.CharField(max_length=64, blank=True, default="")
    progress = AmountField(default=0)
    # Fingerprints of values that count once, 16 bytes each, until the window is satisfied.
    known = models.BinaryField(default=b"")
    satisfied_at = models.DateTimeField(null=True)
    repair = models.ForeignKey(
        StreakRepair, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN)
    # The number of windows in the run up to here, and since when; what a missed one ended.
    count = models.PositiveIntegerField(default=0)
    run_starts_at = models.DateTimeField(null=True)
    lost = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            # A player's windows in order, and what a batch writes.
            models.UniqueConstraint(
                fields=["player_streak", "starts_at"], name="streak_window_once"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="streak_window_has_a_length"
            ),
        ]
        indexes = [
            # The windows of a repair that is taken back.
            models.Index(
                fields=["repair"],
                name="streak_window_by_repair",
                condition=Q(repair__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class StreakMilestone(models.Model):
    """A milestone that a player reached, for the ``number``-th time."""

    id = models.BigAutoField(primary_key=True)
    player_streak = models.ForeignKey(
        PlayerStreak, on_delete=models.CASCADE, related_name="milestones", db_index=False
    )
    threshold = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    # The newest window of the run at that time: it tells in which run the milestone was reached.
    window_starts_at = models.DateTimeField()
    reached_at = models.DateTimeField()
    cause_event_id = models.CharField(max_length=160, blank=True, default="", db_collation="C")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["player_streak", "threshold", "number"], name="streak_milestone_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.threshold} for the {self.number}. time"


class StreakFreeze(models.Model):
    """How many freezes a player holds for a streak; without one, for any."""

    id = models.BigAutoField(primary_key=True)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    streak = models.ForeignKey(Streak, null=True, on_delete=models.PROTECT, related_name="+")
    held = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            # Also all freezes of a player.
            models.UniqueConstraint(
                fields=["player", "streak"], nulls_distinct=False, name="streak_freeze_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.held} held"


class FreezeMove(models.Model):
    """Freezes that came or went: ``amount`` is below 0 for those used or taken."""

    class Kind(models.TextChoices):
        REWARD = "reward", "Given as a reward"
        STAFF = "staff", "Given by staff"
        USED = "used", "Used"
        REVOKED = "revoked", "Taken back"

    id = models.BigAutoField(primary_key=True)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    # Null: freezes for any streak; ``used_in`` is where one was used.
    streak = models.ForeignKey(Streak, null=True, on_delete=models.PROTECT, related_name="+")
    used_in = models.ForeignKey(Streak, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=7, choices=Kind.choices)
    amount = models.IntegerField()
    held_after = models.PositiveIntegerField()
    window_key = models.CharField(max_length=64, blank=True, default="")
    grant = models.ForeignKey(Grant, null=True, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    at = models.DateTimeField()

    class Meta:
        indexes = [
            # A player's freezes, newest first.
            models.Index(fields=["player", "-at", "-id"], name="freeze_move_by_player"),
        ]

    def __str__(self) -> str:
        return f"{self.amount:+d} {self.kind}"


class StreakNotice(models.Model):
    """A player's run was at risk: one row per window, for whoever tells the player."""

    id = models.BigAutoField(primary_key=True)
    player_streak = models.ForeignKey(
        PlayerStreak, on_delete=models.CASCADE, related_name="notices", db_index=False
    )
    window_starts_at = models.DateTimeField()
    window_ends_at = models.DateTimeField()
    count = models.PositiveIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["player_streak", "window_starts_at"], name="streak_notice_once_per_window"
            ),
        ]
        indexes = [
            # The newest notices of all.
            models.Index(fields=["-created_at"], name="streak_notice_newest"),
        ]

    def __str__(self) -> str:
        return f"at risk until {self.window_ends_at}"


class StreakClock(models.Model):
    """One row: up to when every event received has been counted, so that windows may close.

    ``barrier`` is the transaction id below which all events received before ``as_of`` lie; once
    the consumer has passed it, ``passed_until`` becomes ``as_of``.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    as_of = models.DateTimeField(null=True)
    barrier = models.BigIntegerField(null=True)
    passed_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="streak_clock_is_one"),
        ]

    def __str__(self) -> str:
        return f"windows that ended by {self.passed_until} may close"
