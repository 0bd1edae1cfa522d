from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from phoenix_site.common.models import TimestampedModel, UuidModel
from tenants.constants import CURRENCY_PATTERN, OUTBOUND_PATH_PATTERN, TENANT_ID_PATTERN

ONE_MEBIBYTE = 1024 * 1024


class Tenant(TimestampedModel):
    """One operator in one environment. Tenants are suspended, never deleted."""

    class Environment(models.TextChoices):
        SANDBOX = "sandbox", "Sandbox"
        PROD = "prod", "Production"

    class BonusMode(models.TextChoices):
        CALL = "call", "Phoenix calls the operator"
        POLL = "poll", "The operator fetches them"

    id = models.SlugField(
        primary_key=True,
        max_length=63,
        validators=[RegexValidator(TENANT_ID_PATTERN, "Use 2 to 63 of a-z, 0-9 and -.")],
        help_text="Chosen once, shown in every path and token. Small letters, digits and dashes.",
    )
    operator_code = models.CharField(
        max_length=63,
        validators=[RegexValidator(TENANT_ID_PATTERN, "Use 2 to 63 of a-z, 0-9 and -.")],
        help_text="The operator behind the tenant, the same in sandbox and production.",
    )
    environment = models.CharField(
        max_length=7,
        choices=Environment.choices,
        help_text="Sandbox and production data of one operator are two tenants that never meet.",
    )
    name = models.CharField(max_length=255)
    suspended_at = models.DateTimeField(null=True, blank=True, editable=False)
    base_currency = models.CharField(
        max_length=40,
        default="EUR",
        validators=[RegexValidator(CURRENCY_PATTERN, "Write a code such as EUR or gold_coins.")],
        help_text="What costs and budgets are counted in: an ISO 4217 code or one of your own. "
        "Chosen once.",
    )
    timezone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        help_text="IANA name such as Europe/Malta; where a player has none of their own.",
    )

    hmac_enabled = models.BooleanField(
        "HMAC signatures",
        default=True,
        help_text="Off: only tokens open the gateways; signed requests are refused (AUTH_003).",
    )
    ingestion_needs_scope = models.BooleanField(
        "ingestion needs explicit scope",
        default=False,
        help_text="On: a token without the scope events:write cannot send events, so that a "
        "player's token cannot invent them. Switch on before going live.",
    )
    accepts_older_shape = models.BooleanField(
        "accepts the older event shape",
        default=True,
        help_text="Off: events in the flat shape (event_type, user_id, timestamp) are refused.",
    )
    max_future_seconds = models.PositiveIntegerField(
        "clock tolerance of events (seconds)",
        default=300,
        validators=[MaxValueValidator(86_400)],
        help_text="How far ahead of the server an event's occurred_at may be, 0 to 86 400.",
    )
    retention_days = models.PositiveIntegerField(
        "events are kept (days)",
        default=400,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="1 to 3650. Older events are refused, and purged when nothing needs them.",
    )
    max_event_bytes = models.PositiveIntegerField(
        "largest event (bytes)",
        null=True,
        blank=True,
        validators=[MinValueValidator(256), MaxValueValidator(ONE_MEBIBYTE)],
        help_text="Empty: up to the body limit of 1 MiB.",
    )
    allowed_origins = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        help_text="Web origins that may read boards, such as https://play.example. Empty: any.",
    )
    public_player_fields = ArrayField(
        models.CharField(max_length=128),
        default=list,
        blank=True,
        help_text="Player fields that boards show to other players.",
    )
    limits = models.JSONField(
        "limits per minute",
        default=dict,
        blank=True,
        help_text='What differs from the defaults, such as {"ingestion": 120000}. Classes: '
        "ingestion, query_player, query_tenant, admin.",
    )
    max_sockets = models.PositiveIntegerField(
        "live connections", default=10_000, help_text="Sockets and streams open at one time."
    )
    snapshot_retention_days = models.PositiveIntegerField(
        "snapshots are kept (days)",
        default=90,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
    )

    operator_base_url = models.CharField(
        "operator's base URL",
        max_length=500,
        blank=True,
        default="",
        help_text="Where the operator's system is called, such as https://api.operator.example. "
        "Empty: calls wait until there is one.",
    )
    outbound_ports = ArrayField(
        models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(65_535)]),
        default=list,
        blank=True,
        help_text="Ports beside 443 that the operator's addresses may use.",
    )
    bonus_path = models.CharField(
        max_length=255,
        default="/api/bonuses/v1/credit",
        validators=[RegexValidator(OUTBOUND_PATH_PATTERN, "Write a path such as /api/credit.")],
        help_text="Path below the base URL that credits a bonus.",
    )
    bonus_mode = models.CharField(
        max_length=4,
        choices=BonusMode.choices,
        default=BonusMode.CALL,
        help_text="How the operator learns of bonuses: Phoenix calls, or the operator fetches.",
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(id__regex=TENANT_ID_PATTERN), name="tenant_id_is_a_slug"
            ),
            models.UniqueConstraint(
                fields=["operator_code", "environment"], name="tenant_one_per_environment"
            ),
            models.CheckConstraint(
                condition=models.Q(environment__in=["sandbox", "prod"]),
                name="tenant_environment_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(max_future_seconds__lte=86_400),
                name="tenant_clock_tolerance_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(retention_days__gte=1, retention_days__lte=3650),
                name="tenant_retention_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(max_event_bytes__isnull=True)
                | models.Q(max_event_bytes__gte=256, max_event_bytes__lte=ONE_MEBIBYTE),
                name="tenant_event_size_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    snapshot_retention_days__gte=1, snapshot_retention_days__lte=3650
                ),
                name="tenant_snapshot_retention_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(base_currency__regex=CURRENCY_PATTERN),
                name="tenant_currency_is_a_code",
            ),
            models.CheckConstraint(
                condition=models.Q(bonus_mode__in=["call", "poll"]),
                name="tenant_bonus_mode_is_known",
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def is_suspended(self) -> bool:
        return self.suspended_at is not None


class Membership(UuidModel):
    """A staff member works for a tenant: without one, nothing of the tenant is visible to them."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    is_active = models.BooleanField(
        default=True, help_text="Off: keeps the history and takes the access away."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["tenant_id", "user_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "tenant"], name="membership_one_per_user_and_tenant"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.tenant_id}"
