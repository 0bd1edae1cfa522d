from django.contrib.postgres.fields import ArrayField
from django.db import models

from phoenix_site.common.models import UuidModel
from tenants.models.tenants import Tenant


class Credential(UuidModel):
    """What a machine proves itself with; its values are the secrets below it."""

    class Kind(models.TextChoices):
        TENANT_HMAC = "tenant_hmac", "Tenant secret"
        API_KEY = "api_key", "Admin API key"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="credentials",
        verbose_name="owner",
        help_text="Whose staff manage it. A key without owner belongs to the platform: superusers "
        "only.",
    )
    tenants = models.ManyToManyField(
        Tenant,
        blank=True,
        related_name="api_keys",
        verbose_name="reached tenants",
        help_text="The tenants that an API key reaches.",
    )
    label = models.CharField(max_length=255, help_text="Who uses it and where.")
    scopes = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        help_text="What it may do; * means everything. A tenant secret without scopes may do all.",
    )
    allowed_cidrs = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        verbose_name="allowed addresses",
        help_text="Networks such as 203.0.113.0/24 or single addresses. Empty: any.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="api_key")
                | models.Q(kind="tenant_hmac", tenant__isnull=False),
                name="credential_tenant_secret_has_a_tenant",
            )
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.get_kind_display()})"


class CredentialSecret(UuidModel):
    """One value of a credential; two live at once while a rotation overlaps.

    The value is kept encrypted because it signs what others send. ``digest`` (SHA-256) lets a sent
    API key be compared; a tenant secret has none, since short ones could be guessed from it.
    """

    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="secrets")
    prefix = models.CharField(max_length=32, editable=False)
    digest = models.BinaryField(null=True, editable=False, max_length=32)
    ciphertext = models.TextField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            # Finds the key that was sent: selectors.KEY_BY_PREFIX.
            models.Index(
                fields=["prefix"],
                name="secret_by_prefix",
                condition=models.Q(digest__isnull=False, revoked_at__isnull=True),
            )
        ]
        constraints = [
            models.UniqueConstraint(fields=["digest"], name="secret_values_are_unique"),
            # A rotation makes the older one end, so at most one secret is open-ended.
            models.UniqueConstraint(
                fields=["credential"],
                condition=models.Q(expires_at__isnull=True, revoked_at__isnull=True),
                name="secret_one_current_per_credential",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class SigningKey(UuidModel):
    """An Ed25519 key that Phoenix signs its tokens and calls with; retired ones verify a while."""

    class Purpose(models.TextChoices):
        STAFF = "staff", "Staff tokens"
        PLAYER = "player", "Player tokens"
        OUTBOUND = "outbound", "Outbound calls"

    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    kid = models.CharField(max_length=64, unique=True)
    public_key = models.TextField()
    ciphertext = models.TextField(editable=False)
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            # Settles the race of two processes that both find no key, or both rotate.
            models.UniqueConstraint(
                fields=["purpose"],
                condition=models.Q(retired_at__isnull=True),
                name="signing_key_one_current_per_purpose",
            ),
            models.CheckConstraint(
                condition=models.Q(retired_at__isnull=True, expires_at__isnull=True)
                | models.Q(retired_at__isnull=False, expires_at__isnull=False),
                name="signing_key_retired_has_an_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} {self.kid}"
