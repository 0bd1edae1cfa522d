"""The shapes of rules, as the reference shows them; ``rules.rule_documents`` reads documents."""

from typing import Any

from rest_framework import serializers

from rewards.models import Rule
from rewards.rules.reasons import REASONS


class RuleInput(serializers.Serializer[Any]):
    rule_id = serializers.CharField(max_length=64)
    name = serializers.CharField(max_length=255)
    kind = serializers.ChoiceField(choices=Rule.Kind.choices, required=False)
    trigger = serializers.DictField(help_text='`{"type": "event", "names": ["game.completed"]}`.')
    segment_id = serializers.CharField(required=False, allow_null=True, help_text="Not yet.")
    conditions = serializers.JSONField(required=False, help_text="In any of the three dialects.")
    timezone = serializers.CharField(required=False, help_text="By default the tenant's.")
    starts_at = serializers.DateTimeField(required=False, allow_null=True)
    ends_at = serializers.DateTimeField(required=False, allow_null=True)
    effects = serializers.ListField(child=serializers.DictField())
    limits = serializers.DictField(required=False)
    priority = serializers.IntegerField(required=False)
    group = serializers.DictField(required=False, allow_null=True)
    version = serializers.IntegerField(
        required=False, help_text="Refuse the change unless this is the newest version."
    )


class RuleChangeInput(RuleInput):
    rule_id = serializers.CharField(max_length=64, required=False)
    name = serializers.CharField(max_length=255, required=False)
    trigger = serializers.DictField(required=False)
    effects = serializers.ListField(child=serializers.DictField(), required=False)


class PlannedChangeOutput(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=Rule.Status.choices)
    version = serializers.IntegerField(allow_null=True)


class RuleOutput(RuleInput):
    tenant_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Rule.Status.choices)
    active_version = serializers.IntegerField(
        allow_null=True, help_text="In force, or while it is paused: was."
    )
    draft_version = serializers.IntegerField(allow_null=True, help_text="Waits for activation.")
    planned = PlannedChangeOutput(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RuleListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    rules = RuleOutput(many=True)


class RuleStatusInput(serializers.Serializer[Any]):
    version = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="In the future; left out: at once."
    )
    reason = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=500
    )


class RuleDryRunInput(serializers.Serializer[Any]):
    rule_id = serializers.CharField(required=False, help_text="Left out: all active rules.")
    version = serializers.IntegerField(required=False, min_value=1)
    event_id = serializers.CharField(required=False, help_text="Of a stored event.")
    event = serializers.DictField(required=False, help_text="Or an event as it would be sent.")


class TraceOutput(serializers.Serializer[Any]):
    path = serializers.CharField(allow_blank=True)
    field = serializers.CharField()
    op = serializers.CharField()
    expected = serializers.JSONField()
    actual = serializers.JSONField(help_text="Null where the path is absent.")
    result = serializers.BooleanField()
    note = serializers.CharField(required=False)


class RuleVerdictOutput(serializers.Serializer[Any]):
    rule_id = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    verdict = serializers.ChoiceField(choices=["granted", "not_granted"])
    reason = serializers.ChoiceField(choices=list(REASONS), allow_null=True)
    text = serializers.CharField()
    firing_id = serializers.UUIDField(allow_null=True)
    as_of = serializers.ChoiceField(choices=["received_at", "now"])
    trace = TraceOutput(many=True)
    effects = serializers.ListField(child=serializers.DictField())


class RuleDryRunOutput(serializers.Serializer[Any]):
    results = RuleVerdictOutput(many=True)


class ExplainedEventOutput(serializers.Serializer[Any]):
    event_id = serializers.CharField()
    type = serializers.CharField()
    actor = serializers.DictField()
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]  # the contract's word
    attrs = serializers.DictField()


class ExplainOutput(serializers.Serializer[Any]):
    event = ExplainedEventOutput()
    results = RuleVerdictOutput(many=True)


class FiringOutput(serializers.Serializer[Any]):
    firing_id = serializers.UUIDField()
    version = serializers.IntegerField()
    user_id = serializers.CharField()
    event_id = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    fired_at = serializers.DateTimeField()
    cost = serializers.FloatField(help_text="In the tenant's base currency.")
    clipped_from = serializers.FloatField(allow_null=True)
    retroactive = serializers.BooleanField()
    effects = serializers.ListField(child=serializers.DictField())
    trace = TraceOutput(many=True)


class FiringListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    firings = FiringOutput(many=True)


class RefusalOutput(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    user_id = serializers.CharField()
    event_id = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    refused_at = serializers.DateTimeField()
    reason = serializers.ChoiceField(choices=list(REASONS))
    text = serializers.CharField()
    trace = TraceOutput(many=True)


class RefusalListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    refusals = RefusalOutput(many=True)


class EarningRuleInput(serializers.Serializer[Any]):
    rule_id = serializers.CharField(required=False, max_length=64, help_text="Made if left out.")
    name = serializers.CharField(max_length=255)
    currency_id = serializers.CharField()
    event_type = serializers.CharField()
    event_filter = serializers.DictField(required=False, allow_null=True)
    calculation = serializers.DictField(help_text='`{"type": "fixed", "amount": 50}`.')
    max_per_event = serializers.FloatField(required=False, allow_null=True)
    max_per_day = serializers.FloatField(required=False, allow_null=True)
    max_per_week = serializers.FloatField(required=False, allow_null=True)
    priority = serializers.IntegerField(required=False)
    active = serializers.BooleanField(required=False)
    version = serializers.IntegerField(required=False)


class EarningRuleChange(EarningRuleInput):
    name = serializers.CharField(max_length=255, required=False)
    currency_id = serializers.CharField(required=False)
    event_type = serializers.CharField(required=False)
    calculation = serializers.DictField(required=False)


class EarningRuleOutput(EarningRuleInput):
    id = serializers.CharField()
    tenant_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Rule.Status.choices)
    warnings = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class EarningRuleListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    earning_rules = EarningRuleOutput(many=True)
