from django.db import models
from django.db.models import Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from players.models import Player
from rewards.models.items import RewardConfig
from rewards.models.ledger import AmountField
from tenants.models import Tenant


class Achievement(UuidModel, TimestampedModel):
    """Something that players reach by what they do, once or again and again."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=2000, blank=True, default="")
    badge_url = models.CharField(max_length=1000, null=True, blank=True)  # noqa: DJ001 - the contract's null
    # As they were sent, and in the one full form; see ``rewards.rules.achievements``.
    criteria = models.JSONField()
    measure = models.JSONField()
    threshold = AmountField()
    reward_config = models.ForeignKey(
        RewardConfig, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    # Ids of reward items, and of achievements that must be unlocked first, as texts.
    reward_item_ids = models.JSONField(default=list, blank=True)
    requires = models.JSONField(default=list, blank=True)
    is_active = models.BooleanField(default=True)
    is_repeatable = models.BooleanField(default=False)
    is_hidden = models.BooleanField(default=False)
    sort = models.IntegerField(default=0)
    version = models.PositiveIntegerField(default=1)
    # Progress of another epoch counted something else and means nothing any more.
    epoch = models.PositiveIntegerField(default=0)
    # Only events received in [counts_from, counts_until) count; null: no such bound.
    counts_from = models.DateTimeField(null=True)
    counts_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(threshold__gt=0), name="achievement_takes_something"
            ),
        ]
        indexes = [
            # A tenant's achievements in the order in which players see them.
            models.Index(fields=["tenant", "sort", "created_at"], name="achievement_by_tenant"),
        ]

    def __str__(self) -> str:
        return self.name


class AchievementProgress(models.Model):
    """How far a player is; a row from the first step on. Written under the participant's lock."""

    id = models.BigAutoField(primary_key=True)
    achievement = models.ForeignKey(Achievement, on_delete=models.PROTECT, related_name="+")
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    epoch = models.PositiveIntegerField(default=0)
    # What was counted towards the next unlock, or the number that the achievement stands on.
    current = AmountField(default=0)
    # What earlier unlocks used up of such a number; ``earlier_base`` that of the run before.
    base = AmountField(default=0)
    earlier_base = AmountField(default=0)
    # How much of it rules added, which is in no event.
    added = AmountField(default=0)
    # Which set of values counts; see ``AchievementValue``.
    run = models.PositiveIntegerField(default=0)
    # Unlocks that hold, and the number of the last one there ever was.
    times = models.PositiveIntegerField(default=0)
    last_number = models.PositiveIntegerField(default=0)
    unlocked_at = models.DateTimeField(null=True)
    # Unlocks that a recompute found and has not given yet; below 0: that it has to take back.
    owed = models.IntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "achievement progress"
        constraints = [
            # What a batch reads and raises, and a player's list.
            models.UniqueConstraint(
                fields=["player", "achievement"], name="achievement_progress_once"
            ),
            models.CheckConstraint(
                condition=Q(last_number__gte=models.F("times")),
                name="achievement_numbers_cover_times",
            ),
        ]
        indexes = [
            # What is left to do of a recompute.
            models.Index(
                fields=["achievement", "player"],
                name="achievement_progress_owed",
                condition=~Q(owed=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.current} of {self.achievement_id}"


class AchievementValue(models.Model):
    """A value that counted for a player and does not count again in the same run."""

    id = models.BigAutoField(primary_key=True)
    achievement = models.ForeignKey(
        Achievement, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    run = models.PositiveIntegerField()
    fingerprint = models.BinaryField()

    class Meta:
        constraints = [
            # What a batch asks for.
            models.UniqueConstraint(
                fields=["player", "achievement", "run", "fingerprint"],
                name="achievement_value_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.achievement_id} run {self.run}"


class AchievementUnlock(UuidModel):
    """An achievement reached by a player, for the ``number``-th time (1-based)."""

    class Source(models.TextChoices):
        PLAY = "play", "By playing"
        RECOMPUTE = "recompute", "Recompute"
        STAFF = "staff", "Staff"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    achievement = models.ForeignKey(
        Achievement, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    unlocked_at = models.DateTimeField()
    source = models.CharField(max_length=9, choices=Source.choices, default=Source.PLAY)
    cause_event_id = models.CharField(max_length=160, null=True, db_collation="C")  # noqa: DJ001 - none is not empty
    actor = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=255, blank=True, default="")
    revoke_reason = models.CharField(max_length=500, blank=True, default="")
    # A recompute may give back what a recompute took, not what staff took.
    is_revoked_by_staff = models.BooleanField(default=False)

    class Meta:
        constraints = [
            # Nothing is unlocked twice; also a player's unlocks of one achievement.
            models.UniqueConstraint(
                fields=["player", "achievement", "number"], name="achievement_unlock_once"
            ),
        ]
        indexes = [
            # A player's history, newest first.
            models.Index(fields=["player", "-unlocked_at"], name="achievement_unlock_by_player"),
            # Who has an achievement, newest first.
            models.Index(fields=["achievement", "-unlocked_at"], name="unlock_by_achievement"),
        ]

    def __str__(self) -> str:
        return f"{self.achievement_id} unlocked ({self.number})"
