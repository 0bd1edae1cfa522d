"""Rules, what they did and what they refused."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from phoenix_site.common.models import TimestampedModel, UuidModel
from players.models import Player
from rewards.constants import RESERVED_IDS, SLUG_PATTERN
from rewards.models.ledger import AmountField
from tenants.models import Tenant


class Rule(UuidModel, TimestampedModel):
    """A trigger, conditions, effects and limits. Its documents are ``RuleVersion`` rows."""

    class Kind(models.TextChoices):
        REWARD = "reward", "Reward rule"
        EARNING = "earning", "Earning rule"

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        ARCHIVED = "archived", "Archived"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    rule_id = models.CharField(max_length=64, db_collation="C")
    kind = models.CharField(max_length=7, choices=Kind.choices, default=Kind.REWARD)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.DRAFT)
    # The newest version, published or draft, and the one in force (kept while paused).
    version = models.PositiveIntegerField(default=1)
    active_version = models.PositiveIntegerField(null=True, blank=True)
    # Of the newest version, so that lists need no second table.
    name = models.CharField(max_length=255)
    # Of which periods uses are counted: those that any published version ever asked for.
    tracked_periods = ArrayField(models.CharField(max_length=5), default=list, blank=True)

    class Meta:
        permissions = [
            ("publish_rule", "Can publish, pause and archive rules"),
            ("backtest_rule", "Can backtest rules and apply them to the past"),
        ]
        constraints = [
            # Also the list of a tenant's rules, in order.
            models.UniqueConstraint(fields=["tenant", "rule_id"], name="rule_id_once_per_tenant"),
            models.CheckConstraint(
                condition=Q(rule_id__regex=SLUG_PATTERN) & ~Q(rule_id__in=sorted(RESERVED_IDS)),
                name="rule_id_is_a_slug",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.rule_id})"


class RuleVersion(UuidModel):
    """One document of a rule. A trigger refuses any change once it is published."""

    rule = models.ForeignKey(
        Rule, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField()
    document = models.JSONField()
    author = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # One version, and a rule's versions in order.
            models.UniqueConstraint(fields=["rule", "number"], name="rule_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} version {self.number}"

    @property
    def version(self) -> int:
        """Return the number as versions of other documents call it."""
        return self.number


class RuleChange(models.Model):
    """From ``at`` on, ``version`` of the rule judged the events received; null: none did.

    An event is judged by the last change at or before its ``received_at``, whenever the work is
    done. ``at`` may lie in the future: a planned activation.
    """

    id = models.BigAutoField(primary_key=True)
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="changes", db_index=False)
    at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=Rule.Status.choices)
    version = models.PositiveIntegerField(null=True)
    author = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    # When the rule itself came to show it; null for a planned one that is not due yet.
    applied_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # What is planned, and the sweep that applies it.
            models.Index(fields=["at"], name="rule_change_planned", condition=Q(applied_at=None)),
        ]
        constraints = [
            # One state at one instant; a rule's history in order.
            models.UniqueConstraint(fields=["rule", "at"], name="rule_change_once_per_instant"),
            models.CheckConstraint(
                condition=Q(status="active", version__isnull=False)
                | (~Q(status="active") & Q(version__isnull=True)),
                name="rule_change_active_has_version",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.status} from {self.at}"


class RuleUse(models.Model):
    """How often a rule fired for a player in a period, and how much it credited.

    ``bucket``: ``total``, ``d:2026-03-05`` or ``w:2026-03-02`` (the Monday), in the rule's zone.
    """

    id = models.BigAutoField(primary_key=True)
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="+", db_index=False)
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    bucket = models.CharField(max_length=12, db_collation="C")
    firings = models.PositiveIntegerField(default=0)
    amount = AmountField(default=0)

    class Meta:
        constraints = [
            # What a batch reads and raises.
            models.UniqueConstraint(fields=["player", "rule", "bucket"], name="rule_use_once"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.bucket} {self.firings}"


class RuleBudget(models.Model):
    """What a rule has used of its budget, over all its versions; locked by who spends from it."""

    rule = models.OneToOneField(
        Rule, primary_key=True, on_delete=models.CASCADE, related_name="budget"
    )
    firings = models.PositiveBigIntegerField(default=0)
    cost = AmountField(default=0)
    # The shares of which staff were told, once each for every size of the budget.
    told_80_at = models.DateTimeField(null=True)
    told_100_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.rule_id} {self.firings} {self.cost}"


class RuleNotice(UuidModel):
    """What staff were told of a rule's budget: that it is used to 80 or 100 percent."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="notices", db_index=False)
    share = models.PositiveSmallIntegerField("percent")
    text = models.CharField(max_length=500)
    at = models.DateTimeField()

    class Meta:
        indexes = [
            # The newest notices of a rule and of a tenant.
            models.Index(fields=["rule", "-at"], name="rule_notice_by_rule"),
            models.Index(fields=["tenant", "-at"], name="rule_notice_by_tenant"),
        ]

    def __str__(self) -> str:
        return self.text


class Firing(UuidModel):
    """A rule applied for one cause and player: all its effects happened, in one transaction."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="+", db_index=False)
    version = models.PositiveIntegerField()
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    # The event of the log; its row may be purged when its time is over, its id stays here.
    event_row = models.BigIntegerField()
    event_id = models.CharField(max_length=160, db_collation="C")
    occurred_at = models.DateTimeField()
    fired_at = models.DateTimeField()
    # In the tenant's base currency.
    cost = AmountField(default=0)
    clipped_from = AmountField(null=True)
    is_retroactive = models.BooleanField(default=False)
    # [{"type": "credit", "currency_id": "xp", "amount": "50", "transaction_id": "…"}, …]
    effects = models.JSONField()
    trace = models.JSONField()

    class Meta:
        constraints = [
            # Exactly once, whatever repeats; also the firings of one event.
            models.UniqueConstraint(
                fields=["event_row", "player", "rule", "version"], name="firing_once_per_cause"
            ),
        ]
        indexes = [
            # A rule's firings, newest first.
            models.Index(fields=["rule", "-fired_at"], name="firing_by_rule"),
            # What a player got and why, newest first.
            models.Index(fields=["player", "-fired_at"], name="firing_by_player"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} version {self.version} for {self.event_id}"


class Refusal(models.Model):
    """A rule whose conditions held and which was stopped all the same; kept for 90 days."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="+", db_index=False)
    version = models.PositiveIntegerField()
    player = models.ForeignKey(Player, on_delete=models.PROTECT, related_name="+", db_index=False)
    event_row = models.BigIntegerField()
    event_id = models.CharField(max_length=160, db_collation="C")
    occurred_at = models.DateTimeField()
    refused_at = models.DateTimeField()
    reason = models.CharField(max_length=24)
    # The sentence for support staff, and what the comparisons saw.
    text = models.CharField(max_length=500)
    trace = models.JSONField()

    class Meta:
        constraints = [
            # One answer for one question; also the refusals of one event.
            models.UniqueConstraint(
                fields=["event_row", "player", "rule", "version"], name="refusal_once_per_cause"
            ),
        ]
        indexes = [
            # A rule's refusals, newest first, by reason too.
            models.Index(fields=["rule", "-refused_at"], name="refusal_by_rule"),
            # Why a player did not get something, newest first.
            models.Index(fields=["player", "-refused_at"], name="refusal_by_player"),
            # The sweep that forgets the old ones.
            models.Index(fields=["refused_at"], name="refusal_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.reason} for {self.event_id}"
