from django.db import models
from django.db.models import Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from players.models import Player
from rewards.models.items import RewardItem
from rewards.models.ledger import AmountField
from rewards.models.rules import Firing, Rule
from tenants.models import Tenant


class Grant(UuidModel, TimestampedModel):
    """One item owed or given to one player, with the item as it was at that moment."""

    class Status(models.TextChoices):
        UNCLAIMED = "unclaimed", "Unclaimed"
        PROCESSING = "processing", "Processing"
        GRANTED = "granted", "Granted"
        FAILED = "failed", "Failed"
        PENDING_ACTIVATION = "pending_activation", "Waiting for activation"
        ACTIVATED = "activated", "Activated"
        EXPIRED = "expired", "Expired"
        REVOKED = "revoked", "Revoked"

    class SourceType(models.TextChoices):
        RULE = "rule", "Rule"
        COUPON = "coupon", "Coupon"
        LEADERBOARD = "leaderboard", "Leaderboard"
        TOURNAMENT = "tournament", "Tournament"
        STREAK = "streak", "Streak"
        ACHIEVEMENT = "achievement", "Achievement"
        LEVEL = "level", "Level"
        MISSION = "mission", "Mission"
        BUNDLE = "bundle", "Bundle"
        WHEEL = "wheel", "Wheel"
        PURCHASE = "purchase", "Purchase"
        REFERRAL = "referral", "Referral"
        TIER = "tier", "Tier"
        CAMPAIGN = "campaign", "Campaign"
        MANUAL = "manual", "Staff"
        API = "api", "API"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    source_type = models.CharField(max_length=16, choices=SourceType.choices)
    source_id = models.CharField(max_length=200, db_collation="C")
    # Null when the source brought the item inline.
    item = models.ForeignKey(RewardItem, null=True, on_delete=models.PROTECT, related_name="+")
    ordinal = models.PositiveIntegerField(default=1)
    # {"item_id", "name", "description", "image_url", "reward_type", "payload", "unit_cost", …}
    snapshot = models.JSONField()
    status = models.CharField(max_length=18, choices=Status.choices)
    # {"window_key" | "milestone" | "coupon_code" | …}
    context = models.JSONField(default=dict)
    group_id = models.UUIDField()
    group_total = models.PositiveIntegerField(default=1)
    rule = models.ForeignKey(
        Rule, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    rule_version = models.PositiveIntegerField(null=True)
    firing = models.ForeignKey(Firing, null=True, on_delete=models.PROTECT, related_name="+")
    cause_event_id = models.CharField(max_length=160, null=True, db_collation="C")  # noqa: DJ001 - none is not empty
    # How deep in a chain of events that cause each other it was given.
    depth = models.PositiveSmallIntegerField(default=0)
    cost = AmountField(default=0)
    claim_by = models.DateTimeField(null=True)
    activated_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    # Why it failed or was revoked, in words for staff.
    note = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "source_type", "source_id", "player", "item", "ordinal"],
                nulls_distinct=False,
                name="grant_once_per_source",
            ),
        ]
        indexes = [
            # A player's grants, newest first.
            models.Index(fields=["player", "-created_at", "-id"], name="grant_by_player"),
            # The admin's list, newest first.
            models.Index(fields=["tenant", "-created_at", "-id"], name="grant_by_tenant"),
            # What is claimed together.
            models.Index(fields=["group_id"], name="grant_by_group"),
            # The sweep that expires what was not claimed in time.
            models.Index(
                fields=["claim_by"],
                name="grant_by_claim",
                condition=Q(status__in=["unclaimed", "pending_activation"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.snapshot.get('name', '')} ({self.status})"


class GrantMove(models.Model):
    """One step of a grant from status to status: when, by whom and why."""

    id = models.BigAutoField(primary_key=True)
    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, related_name="moves")
    from_status = models.CharField(max_length=18, blank=True, default="")
    to_status = models.CharField(max_length=18)
    at = models.DateTimeField()
    actor = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.from_status} to {self.to_status}"


class Badge(models.Model):
    """A badge that a player has, and the grant that gave it."""

    id = models.BigAutoField(primary_key=True)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+")
    grant = models.OneToOneField(Grant, on_delete=models.CASCADE, related_name="badge")
    badge_id = models.CharField(max_length=200)
    tier = models.CharField(max_length=64, blank=True, default="")
    granted_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.badge_id


class InventoryItem(models.Model):
    """Things of the game that a player was given."""

    id = models.BigAutoField(primary_key=True)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+")
    grant = models.OneToOneField(Grant, on_delete=models.CASCADE, related_name="inventory_item")
    item_key = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(default=1)
    granted_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.quantity} of {self.item_key}"
