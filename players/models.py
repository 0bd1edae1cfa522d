from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from ingestion.models import ExactDecoder
from phoenix_site.common.models import TimestampedModel, UuidModel
from players.constants import BAN_SCOPES, CURRENCY_PATTERN, SLUG_PATTERN
from tenants.models import Tenant


def _one_of(name: str, values: list[str]) -> Q:
    """Return a condition: the column holds one of ``values``, or nothing."""
    return Q(**{f"{name}__in": ["", *values]})


class PlayerQuerySet(models.QuerySet["Player"]):
    def for_tenant(self, tenant_id: str) -> "PlayerQuerySet":
        return self.filter(tenant_id=tenant_id)


class Player(UuidModel, TimestampedModel):
    """An end user of a tenant; a text that is not known is empty.

    Rows are made by ``services.registration`` alone, past the ORM: what it does not name has a
    default in the database.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        INACTIVE = "inactive", "Inactive"
        BLOCKED = "blocked", "Blocked"
        CLOSED = "closed", "Closed"
        SELF_EXCLUDED = "self_excluded", "Self-excluded"

    class KycStatus(models.TextChoices):
        NONE = "none", "None"
        PENDING = "pending", "Pending"
        VERIFIED = "verified", "Verified"
        REJECTED = "rejected", "Rejected"

    class Gender(models.TextChoices):
        FEMALE = "female", "Female"
        MALE = "male", "Male"
        OTHER = "other", "Other"
        UNKNOWN = "unknown", "Unknown"

    class Device(models.TextChoices):
        MOBILE = "mobile", "Mobile"
        DESKTOP = "desktop", "Desktop"
        TABLET = "tablet", "Tablet"
        APP = "app", "App"
        OTHER = "other", "Other"

    # The first constraint below serves every read by tenant.
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    external_id = models.CharField(max_length=128, db_collation="C")

    username = models.CharField(max_length=80, blank=True, db_default="")
    first_name = models.CharField(max_length=80, blank=True, db_default="")
    last_name = models.CharField(max_length=80, blank=True, db_default="")
    email = models.EmailField(blank=True, db_default="")
    phone = models.CharField(max_length=16, blank=True, db_default="")
    country = models.CharField(max_length=2, blank=True, db_default="")
    city = models.CharField(max_length=120, blank=True, db_default="")
    language = models.CharField(max_length=35, blank=True, db_default="")
    timezone = models.CharField(
        "time zone", max_length=64, blank=True, db_default="", help_text="Empty: the tenant's."
    )
    birth_date = models.DateField(null=True, blank=True)
    gender = models.CharField(max_length=7, choices=Gender.choices, blank=True, db_default="")
    currency = models.CharField(max_length=12, blank=True, db_default="")

    status = models.CharField(
        max_length=13, choices=Status.choices, db_default=Status.ACTIVE, help_text="The operator's."
    )
    kyc_status = models.CharField(
        "KYC status", max_length=8, choices=KycStatus.choices, db_default=KycStatus.NONE
    )
    activated_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    registered_at = models.DateTimeField(null=True, blank=True)
    registration_device = models.CharField(
        max_length=7, choices=Device.choices, blank=True, db_default=""
    )
    last_login_at = models.DateTimeField(null=True, blank=True)
    # Coarse: see ``LAST_SEEN_SECONDS``.
    last_seen_at = models.DateTimeField(null=True, blank=True)

    # As last reported, {real_money, bonus_money, currency, at}: for display, never to reckon with.
    balances = models.JSONField(null=True, blank=True, decoder=ExactDecoder)
    is_at_risk = models.BooleanField("at risk", db_default=False)
    at_risk_reason = models.CharField(max_length=500, blank=True, db_default="")
    is_opted_out = models.BooleanField("opted out of gamification", db_default=False)
    opt_changed_at = models.DateTimeField(null=True, blank=True)
    opt_reasons = ArrayField(models.CharField(max_length=500), db_default=[], blank=True)
    counters = models.JSONField(db_default={}, blank=True, decoder=ExactDecoder)
    attributes = models.JSONField(db_default={}, blank=True, decoder=ExactDecoder)

    version = models.PositiveIntegerField(db_default=1, editable=False)

    objects = PlayerQuerySet.as_manager()

    class Meta:
        permissions = [("view_personal", "Can view personal data of players")]
        constraints = [
            # Also one player by its id, a tenant's players in order, and those of a batch.
            models.UniqueConstraint(
                fields=["tenant", "external_id"], name="player_once_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(external_id__regex=r"^[^\s]"), name="player_external_id_not_empty"
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=["active", "inactive", "blocked", "closed", "self_excluded"]
                ),
                name="player_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(kyc_status__in=["none", "pending", "verified", "rejected"]),
                name="player_kyc_status_is_known",
            ),
            models.CheckConstraint(
                condition=_one_of("gender", ["female", "male", "other", "unknown"]),
                name="player_gender_is_known",
            ),
            models.CheckConstraint(
                condition=_one_of(
                    "registration_device", ["mobile", "desktop", "tablet", "app", "other"]
                ),
                name="player_device_is_known",
            ),
            models.CheckConstraint(
                condition=Q(currency="") | Q(currency__regex=CURRENCY_PATTERN),
                name="player_currency_is_a_code",
            ),
            # Who opts out says why (PLR-11).
            models.CheckConstraint(
                condition=Q(is_opted_out=False)
                | (Q(opt_changed_at__isnull=False) & ~Q(opt_reasons=[])),
                name="player_opted_out_with_reason",
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="player_version_from_1"),
        ]
        indexes = [
            # The admin's list: a tenant's players, the newest first.
            models.Index(fields=["tenant", "-created_at", "-id"], name="player_newest"),
            # The admin's search by mail, exact.
            models.Index(fields=["email"], name="player_by_email", condition=~Q(email="")),
            # The same by name.
            models.Index(fields=["username"], name="player_by_username", condition=~Q(username="")),
        ]

    def __str__(self) -> str:
        return self.external_id


class PlayerTag(models.Model):
    """A word that somebody put on a player; from ``expires_at`` on it is as if it were gone."""

    id = models.BigAutoField(primary_key=True)
    # Here and below: a constraint or index that begins with the same column serves the key.
    player = models.ForeignKey(
        Player, on_delete=models.CASCADE, related_name="tags", db_index=False
    )
    name = models.CharField(max_length=64, db_collation="C")
    value = models.CharField(max_length=200, blank=True, default="")
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            # Also the tags of a player, in order.
            models.UniqueConstraint(fields=["player", "name"], name="player_tag_once"),
            models.CheckConstraint(
                condition=Q(name__regex=SLUG_PATTERN), name="player_tag_is_a_slug"
            ),
        ]
        indexes = [
            # The admin's filter: who has a tag.
            models.Index(fields=["name", "player"], name="player_tag_by_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.value else self.name


class Ban(UuidModel):
    """A player is kept from ``scopes`` until it is lifted or ``until`` comes."""

    player = models.ForeignKey(
        Player, on_delete=models.CASCADE, related_name="bans", db_index=False
    )
    scopes = ArrayField(models.CharField(max_length=12))
    reason = models.CharField(max_length=500)
    until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=255)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=255, blank=True, default="")
    lift_reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=list(BAN_SCOPES)) & ~Q(scopes=[]),
                name="ban_scopes_are_known",
            ),
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=F("created_at")),
                name="ban_ends_after_it_begins",
            ),
        ]
        indexes = [
            # The bans that may be in force, of the players of a batch.
            models.Index(
                fields=["player"], name="ban_not_lifted", condition=Q(lifted_at__isnull=True)
            ),
            # All bans of a player, the newest first.
            models.Index(fields=["player", "-created_at"], name="ban_newest"),
        ]

    def __str__(self) -> str:
        return f"{', '.join(self.scopes)} since {self.created_at:%Y-%m-%d %H:%M}"


class ZoneChange(models.Model):
    """From ``from_at`` on the player lived in ``timezone``; empty means the tenant's zone."""

    id = models.BigAutoField(primary_key=True)
    player = models.ForeignKey(
        Player, on_delete=models.CASCADE, related_name="zone_changes", db_index=False
    )
    timezone = models.CharField("time zone", max_length=64, blank=True)
    from_at = models.DateTimeField("from")

    class Meta:
        constraints = [
            # One zone at one instant; also a player's history in order.
            models.UniqueConstraint(fields=["player", "from_at"], name="zone_once_per_instant"),
        ]

    def __str__(self) -> str:
        return f"{self.timezone or 'zone of the tenant'} from {self.from_at:%Y-%m-%d %H:%M}"
