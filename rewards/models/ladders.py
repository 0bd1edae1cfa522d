from django.db import models
from django.db.models import Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from players.models import Player
from rewards.constants import RESERVED_IDS, SLUG_PATTERN
from rewards.models.ledger import Currency
from tenants.models import Tenant


class Ladder(UuidModel, TimestampedModel):
    """Thresholds on what players have ever earned of one currency: levels, grouped in ranks."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    ladder_id = models.CharField(max_length=64, db_collation="C")
    name = models.CharField(max_length=255)
    currency = models.ForeignKey(Currency, on_delete=models.PROTECT, related_name="+")
    # The normalized document's ``levels`` and ``ranks``; see ``rewards.rules.ladders``.
    levels = models.JSONField()
    ranks = models.JSONField(default=list)
    is_active = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            # Also the list of a tenant's ladders, in order.
            models.UniqueConstraint(
                fields=["tenant", "ladder_id"], name="ladder_id_once_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(ladder_id__regex=SLUG_PATTERN) & ~Q(ladder_id__in=sorted(RESERVED_IDS)),
                name="ladder_id_is_a_slug",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.ladder_id})"


class PlayerLevel(models.Model):
    """Where a player stands on a ladder, once it is above the first level."""

    id = models.BigAutoField(primary_key=True)
    ladder = models.ForeignKey(Ladder, on_delete=models.PROTECT, related_name="+", db_index=False)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    level = models.PositiveIntegerField(default=1)
    # The highest level ever reached: what is below was rewarded and never is again.
    highest_level = models.PositiveIntegerField(default=1)
    # No reversal and no change of the curve takes the player below it.
    floor_level = models.PositiveIntegerField(default=1)
    reached_at = models.DateTimeField()

    class Meta:
        constraints = [
            # What a batch reads and raises.
            models.UniqueConstraint(fields=["player", "ladder"], name="player_level_once"),
            models.CheckConstraint(
                condition=Q(level__gte=1)
                & Q(highest_level__gte=models.F("level"))
                & Q(level__gte=models.F("floor_level")),
                name="player_level_between_floor_and_highest",
            ),
        ]
        indexes = [
            # How many players stand on each level.
            models.Index(fields=["ladder", "level"], name="player_level_by_ladder"),
        ]

    def __str__(self) -> str:
        return f"Level {self.level} of {self.ladder_id}"
