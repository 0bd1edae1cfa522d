"""Coupons: their definitions, the codes, who redeemed what, and the counts that limits read."""

from django.db import models
from django.db.models import Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from players.models import Player
from rewards.constants import COUPON_CODE_PATTERN
from rewards.models.grants import Grant
from rewards.models.items import RewardItem
from tenants.models import Tenant


class Coupon(UuidModel, TimestampedModel):
    """What codes of one kind are worth, when, and how often; the contract's definition."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        INACTIVE = "inactive", "Inactive"
        ARCHIVED = "archived", "Archived"

    class CodeFormat(models.TextChoices):
        RANDOM = "random", "Random codes, each for one redemption"
        CUSTOM = "custom", "One code that many share"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=2000, blank=True, default="")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    item = models.ForeignKey(RewardItem, on_delete=models.PROTECT, related_name="+")
    code_format = models.CharField(max_length=6, choices=CodeFormat.choices)
    code_prefix = models.CharField(max_length=32, blank=True, default="")
    # Of the random part.
    code_length = models.PositiveSmallIntegerField(default=8)
    # As codes are stored: folded unless case-sensitive; empty for random ones.
    custom_code = models.CharField(max_length=64, blank=True, default="", db_collation="C")
    is_case_sensitive = models.BooleanField(default=False)
    starts_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    # Redemptions of all its codes, by one player and by all; null: any number.
    per_user_limit = models.PositiveIntegerField(null=True, blank=True)
    total_limit = models.PositiveIntegerField(null=True, blank=True)
    # The contract's ``usage_limit`` as it was sent: one entry, or a list of them.
    usage_limit = models.JSONField()
    version = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(code_format="custom", custom_code__regex=COUPON_CODE_PATTERN)
                | Q(code_format="random", custom_code=""),
                name="coupon_custom_has_its_code",
            ),
            models.CheckConstraint(
                condition=Q(starts_at=None)
                | Q(expires_at=None)
                | Q(expires_at__gt=models.F("starts_at")),
                name="coupon_expires_after_its_start",
            ),
        ]
        indexes = [
            # The library of a tenant, newest first.
            models.Index(fields=["tenant", "-created_at"], name="coupon_by_tenant"),
        ]

    def __str__(self) -> str:
        return self.name


class CouponCode(UuidModel):
    """A code. A random one is used up by its redemption, a shared one never.

    That it expired follows from its coupon; no row changes for it.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        REDEEMED = "redeemed", "Redeemed"
        REVOKED = "revoked", "Void"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    coupon = models.ForeignKey(
        Coupon, on_delete=models.PROTECT, related_name="codes", db_index=False
    )
    code = models.CharField(max_length=64, db_collation="C")
    is_case_sensitive = models.BooleanField(default=False)
    is_shared = models.BooleanField(default=False)
    # The only player who may redeem it; null: anybody.
    player = models.ForeignKey(
        Player, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    # The grant that gave the code away, where one did.
    grant = models.ForeignKey(
        Grant, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    created_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # Why it was declared void, and by whom.
    note = models.CharField(max_length=800, blank=True, default="")

    class Meta:
        constraints = [
            # What a player types is found by it.
            models.UniqueConstraint(fields=["tenant", "code"], name="coupon_code_once_per_tenant"),
            models.UniqueConstraint(
                fields=["coupon"], condition=Q(is_shared=True), name="coupon_has_one_shared_code"
            ),
            models.CheckConstraint(
                condition=Q(code__regex=COUPON_CODE_PATTERN), name="coupon_code_is_valid"
            ),
            models.CheckConstraint(
                condition=Q(is_shared=False) | (Q(player=None) & ~Q(status="redeemed")),
                name="coupon_shared_code_is_nobodys",
            ),
        ]
        indexes = [
            # The export of a coupon, in the order in which the codes were made.
            models.Index(fields=["coupon", "id"], name="coupon_code_by_coupon"),
            # A player's own codes, newest first.
            models.Index(
                fields=["player", "-id"],
                name="coupon_code_by_player",
                condition=Q(player__isnull=False),
            ),
            # What a revoked grant takes back.
            models.Index(
                fields=["grant"], name="coupon_code_by_grant", condition=Q(grant__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.code


class CouponTally(models.Model):
    """How often a coupon is redeemed at present. Apart, so that the hot row is a narrow one."""

    coupon = models.OneToOneField(
        Coupon, primary_key=True, on_delete=models.PROTECT, related_name="tally"
    )
    redeemed = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.redeemed)


class CouponUse(models.Model):
    """How often a player has redeemed codes of a coupon at present."""

    id = models.BigAutoField(primary_key=True)
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="+", db_index=False)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    count = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["coupon", "player"], name="coupon_use_once_per_player"),
        ]

    def __str__(self) -> str:
        return str(self.count)


class CouponRedemption(UuidModel):
    """One redemption of a code by a player, and the grant that it brought.

    Coupons and codes are never deleted, so their keys need no constraint: checking one would have
    every redemption of a popular code lock the same two rows.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    coupon = models.ForeignKey(
        Coupon, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    code = models.ForeignKey(
        CouponCode,
        on_delete=models.PROTECT,
        related_name="redemptions",
        db_index=False,
        db_constraint=False,
    )
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    grant = models.OneToOneField(Grant, on_delete=models.PROTECT, related_name="+")
    # Of a random code, and of a shared one that each player may redeem once.
    uses_up_code = models.BooleanField()
    is_once_per_player = models.BooleanField()
    redeemed_at = models.DateTimeField()
    reversed_at = models.DateTimeField(null=True)
    reversed_by = models.CharField(max_length=255, blank=True, default="")
    reversal_reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["code"],
                condition=Q(uses_up_code=True, reversed_at=None),
                name="coupon_code_redeemed_once",
            ),
            models.UniqueConstraint(
                fields=["code", "player"],
                condition=Q(is_once_per_player=True, reversed_at=None),
                name="coupon_code_redeemed_once_per_player",
            ),
        ]
        indexes = [
            # A player's redemptions, newest first.
            models.Index(fields=["player", "-id"], name="coupon_redemption_by_player"),
            # A coupon's redemptions, newest first.
            models.Index(fields=["coupon", "-id"], name="coupon_redemption_by_coupon"),
            # All redemptions of a code.
            models.Index(fields=["code", "-id"], name="coupon_redemption_by_code"),
        ]

    def __str__(self) -> str:
        return f"{self.code_id} by {self.player_id}"

    @property
    def status(self) -> str:
        """Return ``redeemed`` or ``reversed``."""
        return "redeemed" if self.reversed_at is None else "reversed"
