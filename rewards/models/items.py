from django.db import models
from django.db.models import Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from rewards.models.ledger import AmountField
from tenants.models import Tenant


class RewardItem(UuidModel, TimestampedModel):
    """What can be given, reusable; a grant keeps a snapshot of it."""

    class RewardType(models.TextChoices):
        CURRENCY = "currency", "Currency"
        POINTS = "points", "Points (the token currency)"
        BADGE = "badge", "Badge"
        ITEM = "item", "Inventory item"
        PHYSICAL_ITEM = "physical_item", "Physical item"
        BONUS_OFFER = "bonus_offer", "Bonus offer of the operator"
        COUPON = "coupon", "Coupon"
        STREAK_FREEZE = "streak_freeze", "Streak freeze"

    class Giving(models.TextChoices):
        AUTOMATIC = "automatic", "Automatically"
        PLAYER = "player", "By the player"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=2000, blank=True, default="")
    image_url = models.CharField(max_length=1000, null=True, blank=True)  # noqa: DJ001 - the contract's null
    reward_type = models.CharField(max_length=16, choices=RewardType.choices)
    payload = models.JSONField(default=dict)
    # What giving it costs the tenant, in its base currency.
    unit_cost = AmountField(default=0)
    claim = models.CharField(max_length=9, choices=Giving.choices, default=Giving.AUTOMATIC)
    claim_within_s = models.PositiveIntegerField("to be claimed within (s)", null=True, blank=True)
    activation = models.CharField(max_length=9, choices=Giving.choices, default=Giving.AUTOMATIC)
    is_active = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(unit_cost__gte=0), name="item_cost_from_0"),
        ]
        indexes = [
            # The library of a tenant, newest first.
            models.Index(fields=["tenant", "-created_at"], name="item_by_tenant"),
        ]

    def __str__(self) -> str:
        return self.name


class RewardConfig(UuidModel, TimestampedModel):
    """When which items are given: tiers of ranks, milestones, thresholds or levels."""

    class ConfigType(models.TextChoices):
        LEADERBOARD = "leaderboard", "Leaderboard"
        STREAK = "streak", "Streak"
        ACHIEVEMENT = "achievement", "Achievement"
        LEVEL = "level", "Level"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    config_type = models.CharField("type", max_length=12, choices=ConfigType.choices)
    tiers = models.JSONField(default=list)
    is_active = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        indexes = [
            # The library of a tenant, newest first.
            models.Index(fields=["tenant", "-created_at"], name="config_by_tenant"),
        ]

    def __str__(self) -> str:
        return self.name
