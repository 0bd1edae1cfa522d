"""The shapes of achievements, as the reference shows them."""

from typing import Any

from rest_framework import serializers

from rewards.api.serializers import ReasonInput


class CriteriaShape(serializers.Serializer[Any]):
    type = serializers.CharField(
        required=False,
        help_text="count, sum, distinct, cumulative, streak_milestone or leaderboard_rank; "
        "event_count in an older form.",
    )
    event_types = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Up to 20; game.* is allowed."
    )
    conditions = serializers.DictField(required=False, allow_null=True)
    field = serializers.CharField(required=False, help_text="Of sum and distinct.")
    metric = serializers.CharField(required=False, help_text="Of cumulative: a currency id.")
    streak_id = serializers.UUIDField(required=False)
    leaderboard_id = serializers.CharField(required=False)
    rank = serializers.IntegerField(required=False, min_value=1)
    threshold = serializers.FloatField(required=False, help_text="Greater than 0.")
    event_type = serializers.CharField(required=False, help_text="Of event_count.")
    expression = serializers.DictField(required=False, allow_null=True, help_text="Older form.")
    condition = serializers.DictField(
        required=False, help_text="Older form: type, field, and min, which equals target."
    )
    target = serializers.FloatField(required=False, help_text="Older form.")


class AchievementChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255, required=False)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    badge_url = serializers.CharField(max_length=1000, required=False, allow_null=True)
    criteria = CriteriaShape(required=False)
    reward_config_id = serializers.UUIDField(required=False, allow_null=True)
    reward_item_ids = serializers.ListField(child=serializers.UUIDField(), required=False)
    active = serializers.BooleanField(required=False)
    repeatable = serializers.BooleanField(required=False)
    hidden = serializers.BooleanField(required=False)
    requires = serializers.ListField(child=serializers.UUIDField(), required=False)
    sort = serializers.IntegerField(required=False)
    apply = serializers.ChoiceField(
        choices=["from_now", "recompute"],
        required=False,
        help_text="Required with changed criteria: whether a recompute is to follow.",
    )
    reason = serializers.CharField(max_length=500, required=False)
    version = serializers.IntegerField(
        required=False, help_text="Refuse the change unless this is the stored version."
    )


class AchievementInput(AchievementChange):
    name = serializers.CharField(max_length=255)
    criteria = CriteriaShape()


class AchievementOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    tenant_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    badge_url = serializers.CharField(allow_null=True)
    criteria = serializers.DictField(help_text="As it was sent.")
    measure = serializers.DictField(help_text="The criteria in the full form.")
    reward_config_id = serializers.UUIDField(allow_null=True)
    reward_item_ids = serializers.ListField(child=serializers.UUIDField())
    active = serializers.BooleanField()
    repeatable = serializers.BooleanField()
    hidden = serializers.BooleanField()
    requires = serializers.ListField(child=serializers.UUIDField())
    sort = serializers.IntegerField()
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class AchievementListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    achievements = AchievementOutput(many=True)


class RecomputeInput(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=["preview", "apply"], required=False)
    result_hash = serializers.CharField(
        required=False, help_text="Of apply: that of a preview of the present version."
    )
    revoke = serializers.BooleanField(
        required=False, help_text="Of apply: whether losers lose the unlock and its rewards."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field whose name is a word of the language."""
        since = serializers.DateTimeField(
            required=False, allow_null=True, help_text="Of preview: leave out what occurred before."
        )
        return super().get_fields() | {"from": since}


class StaffInput(ReasonInput):
    user_id = serializers.CharField(max_length=128)


class ProgressShape(serializers.Serializer[Any]):
    current = serializers.FloatField(min_value=0)
    threshold = serializers.FloatField()
    percentage = serializers.FloatField(min_value=0, max_value=100)


class GrantedRewardShape(serializers.Serializer[Any]):
    grant_id = serializers.UUIDField()
    item_id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    reward_type = serializers.CharField()
    status = serializers.CharField()
    granted_at = serializers.DateTimeField()


class PlayerAchievementOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    badge_url = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["locked", "in_progress", "unlocked"])
    progress = ProgressShape()
    unlocked_at = serializers.DateTimeField(allow_null=True)
    times = serializers.IntegerField(min_value=0)
    rewards_granted = GrantedRewardShape(many=True)


class PlayerAchievementsOutput(serializers.Serializer[Any]):
    achievements = PlayerAchievementOutput(many=True)
    total = serializers.IntegerField()
    unlocked_count = serializers.IntegerField()
    in_progress_count = serializers.IntegerField()
    locked_count = serializers.IntegerField()


class UnlockShape(serializers.Serializer[Any]):
    achievement_id = serializers.UUIDField()
    times = serializers.IntegerField(min_value=1)
    unlocked_at = serializers.DateTimeField()
    cause_event_id = serializers.CharField(allow_null=True)


class HistoryOutput(serializers.Serializer[Any]):
    unlocks = UnlockShape(many=True)
    total = serializers.IntegerField()
