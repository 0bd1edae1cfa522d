"""The shapes of ladders and of players' levels, as the reference shows them."""

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from phoenix_site.common.documents import plain_number
from rewards.models import Ladder
from rewards.selectors import ladders as selectors
from rewards.types.ladders import PlayerStep


class RangeShape(serializers.Serializer[Any]):
    start = serializers.FloatField()
    end = serializers.FloatField(required=False)


class LevelShape(serializers.Serializer[Any]):
    level = serializers.IntegerField(min_value=1)
    xp_required = serializers.FloatField(required=False, min_value=0)
    xp_range = RangeShape(required=False, help_text="Instead of xp_required; ranges touch.")
    item_ids = serializers.ListField(child=serializers.UUIDField(), required=False)
    by_category = serializers.DictField(required=False, help_text="Not supported yet: {}.")
    benefits = serializers.DictField(required=False, help_text="What it means to the game.")


class RankShape(serializers.Serializer[Any]):
    rank_id = serializers.CharField(max_length=64)
    name = serializers.CharField(max_length=255)
    image_url = serializers.CharField(required=False, allow_null=True)
    weight = serializers.IntegerField(required=False, min_value=0)
    levels = serializers.ListField(child=serializers.IntegerField(min_value=1))
    item_ids = serializers.ListField(child=serializers.UUIDField(), required=False)


class LadderChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255, required=False)
    currency_id = serializers.CharField(
        required=False, help_text="Not spendable; by default the one with the role xp."
    )
    levels = LevelShape(many=True, required=False)
    ranks = RankShape(many=True, required=False)
    active = serializers.BooleanField(required=False)
    policy = serializers.ChoiceField(
        choices=["grandfather", "recompute"],
        required=False,
        help_text="Required with a changed curve: whether players may lose levels by it.",
    )
    version = serializers.IntegerField(
        required=False, help_text="Refuse the change unless this is the stored version."
    )


class LadderInput(LadderChange):
    ladder_id = serializers.CharField(max_length=64)
    name = serializers.CharField(max_length=255)
    levels = LevelShape(many=True)


class PublicLadderOutput(serializers.Serializer[Any]):
    ladder_id = serializers.CharField()
    name = serializers.CharField()
    currency_id = serializers.CharField()
    levels = LevelShape(many=True)
    ranks = RankShape(many=True)


class LadderOutput(PublicLadderOutput):
    tenant_id = serializers.CharField()
    downgrade = serializers.DictField(allow_null=True, help_text="Reserved.")
    active = serializers.BooleanField()
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class LadderListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    levels = LadderOutput(many=True)


class LadderDefinitionsOutput(serializers.Serializer[Any]):
    ladders = PublicLadderOutput(many=True)


class PreviewInput(LadderChange):
    policy = serializers.ChoiceField(choices=["grandfather", "recompute"], required=False)


class PlayerRankShape(serializers.Serializer[Any]):
    rank_id = serializers.CharField()
    name = serializers.CharField()


class PlayerLevelOutput(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    ladder_id = serializers.CharField()
    current_level = serializers.IntegerField()
    rank = PlayerRankShape(allow_null=True)
    total_xp = serializers.FloatField()
    xp_for_current_level = serializers.FloatField()
    xp_for_next_level = serializers.FloatField(allow_null=True)
    xp_to_next = serializers.FloatField(allow_null=True)
    progress_percentage = serializers.FloatField(min_value=0, max_value=100)
    benefits = serializers.DictField()


def ladder_bodies(ladders: Sequence[Ladder]) -> list[dict[str, Any]]:
    """Return ladders as the admin gateway answers them."""
    return [selectors.ladder_document(ladder) for ladder in ladders]


def level_body(step: PlayerStep) -> dict[str, Any]:
    """Return where a player stands as the query gateway answers it."""
    rank = step.rank
    return {
        "user_id": step.user_id,
        "ladder_id": step.ladder_id,
        "current_level": step.level,
        "rank": {"rank_id": rank.rank_id, "name": rank.name} if rank else None,
        "total_xp": plain_number(step.total),
        "xp_for_current_level": plain_number(step.xp_for_level),
        "xp_for_next_level": _plain_or_none(step.xp_for_next),
        "xp_to_next": _plain_or_none(step.missing),
        "progress_percentage": plain_number(step.percentage),
        "benefits": step.benefits,
    }


def _plain_or_none(value: Any) -> int | float | None:
    return None if value is None else plain_number(value)
