"""The shapes of reward items and configs, as the reference shows them and as they are answered.

Requests are read by ``rules.items`` and ``rules.configs``, which find every fault at once.
"""

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from rewards.models import RewardConfig, RewardItem
from rewards.selectors import items as selectors


class RewardItemInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    image_url = serializers.CharField(max_length=1000, required=False, allow_null=True)
    reward_type = serializers.ChoiceField(choices=RewardItem.RewardType.choices)
    payload = serializers.DictField(required=False, help_text="What is given, by its type.")
    unit_cost = serializers.FloatField(
        required=False, min_value=0, help_text="What giving it costs, in the base currency."
    )
    claim = serializers.ChoiceField(choices=RewardItem.Giving.choices, required=False)
    claim_within_s = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    activation = serializers.ChoiceField(choices=["automatic"], required=False)
    active = serializers.BooleanField(required=False)
    version = serializers.IntegerField(
        required=False, help_text="Refuse the change unless this is the stored version."
    )


class RewardItemChange(RewardItemInput):
    name = serializers.CharField(max_length=255, required=False)
    reward_type = serializers.ChoiceField(choices=RewardItem.RewardType.choices, required=False)


class RewardItemOutput(RewardItemInput):
    id = serializers.UUIDField()
    item_id = serializers.UUIDField()
    tenant_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RewardItemListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    reward_items = RewardItemOutput(many=True)


class RewardItemAliasListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    rewards = RewardItemOutput(many=True)


class TierShape(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120, required=False, allow_blank=True)
    rank_min = serializers.IntegerField(required=False, min_value=1, help_text="Of leaderboards.")
    rank_max = serializers.IntegerField(required=False, min_value=1, help_text="Included.")
    milestone = serializers.IntegerField(required=False, min_value=1, help_text="Of streaks.")
    threshold = serializers.FloatField(required=False, help_text="Of achievements.")
    level = serializers.IntegerField(required=False, min_value=1, help_text="Of levels.")
    item_ids = serializers.ListField(child=serializers.UUIDField(), required=False)
    by_category = serializers.DictField(
        required=False, help_text="Items that replace these for players of a category."
    )


class RewardConfigInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    type = serializers.ChoiceField(choices=RewardConfig.ConfigType.choices)
    tiers = TierShape(many=True)
    active = serializers.BooleanField(required=False)
    version = serializers.IntegerField(
        required=False, help_text="Refuse the change unless this is the stored version."
    )


class RewardConfigChange(RewardConfigInput):
    name = serializers.CharField(max_length=255, required=False)
    type = serializers.ChoiceField(choices=RewardConfig.ConfigType.choices, required=False)
    tiers = TierShape(many=True, required=False)


class RewardConfigOutput(RewardConfigInput):
    id = serializers.UUIDField()
    tenant_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RewardConfigListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    reward_configs = RewardConfigOutput(many=True)


def item_bodies(rows: Sequence[RewardItem]) -> list[dict[str, Any]]:
    """Return items as they are answered."""
    return [
        {
            "id": str(row.pk),
            "item_id": str(row.pk),
            "tenant_id": row.tenant_id,
            **selectors.item_document(row),
            "version": row.version,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
        for row in rows
    ]


def config_bodies(rows: Sequence[RewardConfig]) -> list[dict[str, Any]]:
    """Return configs as they are answered."""
    return [
        {
            "id": str(row.pk),
            "tenant_id": row.tenant_id,
            **selectors.config_document(row),
            "version": row.version,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
        for row in rows
    ]
