"""The shapes of streaks, as the reference shows them."""

from typing import Any

from rest_framework import serializers

from rewards.models import Streak

_STATUSES = Streak.Status.choices


class StreakWindowShape(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["calendar", "rolling"])
    period = serializers.ChoiceField(
        choices=["hourly", "daily", "weekly", "monthly"], required=False
    )
    timezone = serializers.CharField(
        required=False, help_text="An IANA name, or `player`: the zone of each player."
    )
    reset_day = serializers.JSONField(
        required=False, help_text="A weekday's name for weeks, 1 to 28 for months."
    )
    reset_time = serializers.CharField(required=False, help_text="HH:MM, local.")
    hours = serializers.IntegerField(required=False, help_text="Of rolling windows.")


class StreakConditionShape(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["count", "sum", "distinct"], required=False)
    field = serializers.CharField(required=False)
    min = serializers.FloatField(required=False)


class StreakMilestoneShape(serializers.Serializer[Any]):
    threshold = serializers.IntegerField(min_value=1)
    reward_item_id = serializers.UUIDField(required=False, allow_null=True)
    reward_item_ids = serializers.ListField(child=serializers.UUIDField(), required=False)
    repeatable = serializers.BooleanField(
        required=False, help_text="Given in every new run, not only once ever."
    )


class StreakFreezeShape(serializers.Serializer[Any]):
    max_held = serializers.IntegerField(min_value=0)
    per_break = serializers.IntegerField(min_value=1, help_text="How many in a row keep a run.")


class StreakConfigShape(serializers.Serializer[Any]):
    event_types = serializers.ListField(child=serializers.CharField())
    expression = serializers.DictField(
        required=False, allow_null=True, help_text="A condition on events."
    )
    window = StreakWindowShape()
    condition = StreakConditionShape(required=False)
    milestones = StreakMilestoneShape(many=True, required=False)
    reward_config_id = serializers.UUIDField(required=False, allow_null=True)
    at_risk_seconds = serializers.IntegerField(required=False, min_value=0)
    freeze = StreakFreezeShape(required=False, allow_null=True)
    late_seconds = serializers.IntegerField(
        required=False, min_value=0, help_text="How long after its window an event still counts."
    )


class StreakChange(serializers.Serializer[Any]):
    name = serializers.RegexField(r"^[A-Za-z0-9 _-]{1,255}$", required=False)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    status = serializers.ChoiceField(choices=_STATUSES, required=False)
    config = StreakConfigShape(required=False)
    reason = serializers.CharField(max_length=500, required=False, help_text="Why; kept.")
    version = serializers.IntegerField(
        required=False, help_text="Refuse the change unless this is the stored version."
    )


class StreakInput(StreakChange):
    name = serializers.RegexField(r"^[A-Za-z0-9 _-]{1,255}$")
    config = StreakConfigShape()


class StreakDefinitionOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    tenant_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=_STATUSES)
    config = StreakConfigShape()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class StreakOutput(StreakDefinitionOutput):
    version = serializers.IntegerField()


class StreakListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    streaks = StreakOutput(many=True)


class StreakDefinitionsOutput(serializers.Serializer[Any]):
    definitions = StreakDefinitionOutput(many=True)


class ReachedMilestoneOutput(serializers.Serializer[Any]):
    threshold = serializers.IntegerField()
    reached_at = serializers.DateTimeField(allow_null=True, help_text="The last time.")


class UserStreakOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField(allow_null=True, help_text="Null before the first event.")
    definition_id = serializers.UUIDField()
    definition_name = serializers.CharField()
    user_id = serializers.CharField()
    current_count = serializers.IntegerField(min_value=0)
    longest_count = serializers.IntegerField(min_value=0)
    window_progress = serializers.FloatField()
    window_target = serializers.FloatField()
    window_satisfied = serializers.BooleanField()
    current_window_start = serializers.DateTimeField(
        allow_null=True, help_text="Null while no rolling run is under way."
    )
    current_window_end = serializers.DateTimeField(allow_null=True)
    at_risk = serializers.BooleanField()
    freezes_held = serializers.IntegerField(min_value=0)
    milestones = ReachedMilestoneOutput(many=True)
    last_event_at = serializers.DateTimeField(allow_null=True)


class UserStreaksOutput(serializers.Serializer[Any]):
    streaks = UserStreakOutput(many=True)


class RepairInput(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=128)
    windows = serializers.ListField(
        child=serializers.CharField(max_length=64),
        help_text="Keys of windows, such as 2026-03-08 or 2026-W10, or times that lie in them.",
    )
    reason = serializers.CharField(max_length=500)


class FreezesInput(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=128)
    count = serializers.IntegerField(min_value=1, max_value=1000)
    reason = serializers.CharField(max_length=500)
