"""The ledger: double entry, append-only. Triggers keep what the docstrings say."""

from django.db import models
from django.db.models import F, Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from players.models import Player
from rewards.constants import AMOUNT_DIGITS, CURRENCY_ID_PATTERN, MAX_DECIMAL_PLACES
from tenants.models import Tenant


class AmountField(models.DecimalField):  # type: ignore[type-arg]  # the plugin knows them
    """An amount of any currency: 30 digits before the point and 8 behind it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs["max_digits"] = AMOUNT_DIGITS
        kwargs["decimal_places"] = MAX_DECIMAL_PLACES
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


class Currency(UuidModel, TimestampedModel):
    """A unit of account of one tenant."""

    class Kind(models.TextChoices):
        POINTS = "points", "Points"
        CASH = "cash", "Cash"

    class Role(models.TextChoices):
        XP = "xp", "Experience"
        TOKEN = "token", "Token"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency_id = models.CharField(max_length=40, db_collation="C")
    name = models.CharField(max_length=120)
    symbol = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001 - the contract's null
    kind = models.CharField(max_length=6, choices=Kind.choices, default=Kind.POINTS)
    role = models.CharField(max_length=5, choices=Role.choices, null=True, blank=True)  # noqa: DJ001 - the contract's null
    is_spendable = models.BooleanField(default=True)
    decimal_places = models.PositiveSmallIntegerField(default=0)
    # What one unit costs the tenant, in its base currency.
    unit_cost = AmountField(default=0)
    # Credits expire so many days after they were made; null: never.
    expiry_days = models.PositiveIntegerField(null=True, blank=True)
    # Money of tournaments is held by nobody, unless the tenant wants it so.
    has_wallets = models.BooleanField("players may hold it", default=True)
    is_active = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name_plural = "currencies"
        constraints = [
            # Also the list of a tenant's currencies, in order.
            models.UniqueConstraint(
                fields=["tenant", "currency_id"], name="currency_id_once_per_tenant"
            ),
            models.UniqueConstraint(
                fields=["tenant", "role"],
                condition=Q(role__isnull=False),
                name="currency_role_once_per_tenant",
            ),
            models.CheckConstraint(
                condition=Q(currency_id__regex=CURRENCY_ID_PATTERN), name="currency_id_is_valid"
            ),
            models.CheckConstraint(
                condition=Q(decimal_places__lte=MAX_DECIMAL_PLACES), name="currency_has_8_decimals"
            ),
            models.CheckConstraint(condition=Q(unit_cost__gte=0), name="currency_cost_from_0"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency_id})"


class Account(models.Model):
    """One side of postings. Balances of players and pools are stored, those of the house summed."""

    class Kind(models.TextChoices):
        WALLET = "wallet", "Wallet"
        HELD = "held", "Held"
        PRIZE_POOL = "prize_pool", "Prize pool"
        ISSUER = "issuer", "Issuer"
        CLEARING = "clearing", "Clearing"
        EXPIRED = "expired", "Expired"
        FEES = "fees", "Fees"

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency = models.ForeignKey(
        Currency, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    player = models.ForeignKey(
        Player, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    # Whose pool or fees: ``tournament:{id}:entries``; empty for the tenant's own.
    reference = models.CharField(max_length=200, blank=True, default="", db_collation="C")
    # Stored for wallet, held and prize_pool; 0 for those that are summed.
    balance = AmountField(default=0)
    lifetime_earned = AmountField(default=0)
    # Of a wallet: whether its lots add up to its balance; it has none until something expires.
    has_lots = models.BooleanField(default=False)

    class Meta:
        permissions = [("adjust_account", "Can move money of players by hand")]
        constraints = [
            # All accounts of a player, and the one of a currency.
            models.UniqueConstraint(
                fields=["player", "currency", "kind"],
                condition=Q(player__isnull=False),
                name="account_once_per_player",
            ),
            models.UniqueConstraint(
                fields=["currency", "kind", "reference"],
                condition=Q(player__isnull=True),
                name="account_once_per_reference",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["wallet", "held"], player__isnull=False)
                | (~Q(kind__in=["wallet", "held"]) & Q(player__isnull=True)),
                name="account_of_player_has_player",
            ),
            models.CheckConstraint(
                condition=Q(balance__gte=0, kind__in=["wallet", "held", "prize_pool"])
                | Q(balance=0),
                name="account_balance_never_negative",
            ),
            models.CheckConstraint(
                condition=Q(lifetime_earned__gte=0), name="account_lifetime_never_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.player_id or self.reference}"


class LedgerTransaction(UuidModel):
    """Postings that belong together. A trigger refuses one without postings or with an open sum,
    and any change of it; see ``Posting``. The same trigger sees that tenant and player are those
    of its accounts, so these keys need no constraint, which would look up every row again.
    """

    class Kind(models.TextChoices):
        CREDIT = "credit", "Credit"
        DEBIT = "debit", "Debit"
        HOLD = "hold", "Hold"
        CAPTURE = "capture", "Capture"
        RELEASE = "release", "Release"
        PURCHASE = "purchase", "Purchase"
        REFUND = "refund", "Refund"
        PRIZE = "prize", "Prize"
        EXPIRE = "expire", "Expiry"
        TRANSFER = "transfer", "Transfer"
        REVERSAL = "reversal", "Reversal"

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    idempotency_key = models.CharField(max_length=300, db_collation="C")
    # Of the content, so that a repeated key with other content is told from a repeat.
    content_hash = models.BinaryField()
    # Whose wallet moved; null where none did.
    player = models.ForeignKey(
        Player,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    # What brought it about, in the words of grants: rule, streak, achievement, manual, api…
    source_type = models.CharField(max_length=32)
    source_ref = models.CharField(max_length=200, blank=True, default="")
    # The row that caused it: event, firing, grant, order, hold, transaction, lot, staff, api_key.
    cause_kind = models.CharField(max_length=16)
    cause_id = models.CharField(max_length=200, db_collation="C")
    # The event at the beginning of the chain, where there is one.
    event_id = models.CharField(max_length=160, null=True, db_collation="C")  # noqa: DJ001 - none is not empty
    actor = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    reverses = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="reversals", db_index=False
    )
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "idempotency_key"], name="transaction_once_per_key"
            ),
            # At most one reversal; without the condition every row would have an entry here.
            models.UniqueConstraint(
                fields=["reverses"],
                condition=Q(reverses__isnull=False),
                name="transaction_reversed_once",
            ),
        ]
        indexes = [
            # The admin's and the gateway's list, newest first.
            models.Index(fields=["tenant", "-created_at", "-id"], name="transaction_by_time"),
            # A player's transactions, newest first.
            models.Index(fields=["player", "-created_at", "-id"], name="transaction_by_player"),
            # Everything that one firing, grant, hold or event moved.
            models.Index(fields=["tenant", "cause_kind", "cause_id"], name="transaction_by_cause"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Posting(models.Model):
    """One line of a double entry; the lines of a transaction sum to zero per currency.

    Written in the statement that writes its transaction, never changed, never deleted: triggers
    refuse everything else. The keys have no constraint of their own, since the trigger joins both.
    """

    id = models.BigAutoField(primary_key=True)
    transaction = models.ForeignKey(
        LedgerTransaction,
        on_delete=models.PROTECT,
        related_name="postings",
        db_constraint=False,
    )
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    amount = AmountField()
    # What the account held afterwards; null where balances are summed.
    balance_after = AmountField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="posting_moves_something"),
        ]
        indexes = [
            # Statements of an account in order, and its balance at an instant.
            models.Index(fields=["account", "created_at", "id"], name="posting_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} on {self.account_id}"


class Hold(UuidModel, TimestampedModel):
    """An amount set aside for a player's later payment; ``remaining`` lies in ``held``."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+")
    currency = models.ForeignKey(
        Currency, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    amount = AmountField()
    captured = AmountField(default=0)
    released = AmountField(default=0)
    reference = models.CharField(max_length=200)
    status = models.CharField(max_length=6, choices=Status.choices, default=Status.OPEN)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(captured__gte=0, released__gte=0, amount__gt=0)
                & Q(amount__gte=F("captured") + F("released")),
                name="hold_never_exceeded",
            ),
            models.CheckConstraint(
                condition=Q(status="open")
                | Q(status="closed", amount=F("captured") + F("released")),
                name="hold_closed_when_used_up",
            ),
        ]
        indexes = [
            # The sweep that releases what nobody captured in time, and a tenant's open holds.
            models.Index(
                fields=["expires_at"], name="hold_open_by_expiry", condition=Q(status="open")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} for {self.reference}"


class Lot(models.Model):
    """What is left of one credit of a currency that expires; wallets draw the next to expire."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    # Null: what the wallet held when its first lot was made.
    transaction = models.ForeignKey(
        LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="+"
    )
    amount = AmountField()
    remaining = AmountField()
    # Null: the credit was made before the currency expired at all, or does not.
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(remaining__gte=0) & Q(remaining__lte=F("amount")),
                name="lot_never_overdrawn",
            ),
        ]
        indexes = [
            # A wallet's lots in the order of drawing.
            models.Index(
                fields=["account", "expires_at", "id"],
                name="lot_by_account",
                condition=Q(remaining__gt=0),
            ),
            # The sweep that posts due lots to ``expired``.
            models.Index(fields=["expires_at"], name="lot_by_expiry", condition=Q(remaining__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.remaining} of {self.amount}"


class LotDraw(models.Model):
    """What a hold took from a lot and has neither captured nor given back."""

    id = models.BigAutoField(primary_key=True)
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="draws", db_index=False)
    lot = models.ForeignKey(Lot, on_delete=models.PROTECT, related_name="draws")
    amount = AmountField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hold", "lot"], name="lot_draw_once_per_hold"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="lot_draw_from_0"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of lot {self.lot_id}"


class Proof(UuidModel):
    """The outcome of one proof of a tenant's ledger, chained to the one before by its hash."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    # By currency id: how many transactions, postings and wallets, and what circulates.
    counts = models.JSONField()
    # At most 100 of them: check, currency_id, subject, expected and actual.
    differences = models.JSONField()
    difference_count = models.PositiveIntegerField()
    hash = models.CharField(max_length=64)
    previous_hash = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = [
            # The chain: one link per number, read in order.
            models.UniqueConstraint(fields=["tenant", "number"], name="proof_once_per_number"),
        ]

    def __str__(self) -> str:
        return f"Proof {self.number} of {self.tenant_id}"
