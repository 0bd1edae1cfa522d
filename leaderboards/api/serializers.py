"""The shapes of the admin gateway as the reference shows them.

Requests are read by ``rules.boards``, which finds every fault at once; these describe them.
"""

from typing import Any

from rest_framework import serializers

from leaderboards.models import BoardVersion, Leaderboard

_CONFIG_EXAMPLE = "timeframe, scoring, and optionally scope, ranking and snapshots"


class BoardInput(serializers.Serializer[Any]):
    leaderboard_id = serializers.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", help_text="Unique in the tenant, never reused."
    )
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=2000, required=False, default="")
    reward_config_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="A reward config of the type leaderboard."
    )
    config = serializers.DictField(help_text=_CONFIG_EXAMPLE)


class BoardChangeInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255, required=False)
    description = serializers.CharField(max_length=2000, required=False)
    status = serializers.ChoiceField(choices=Leaderboard.Status.choices, required=False)
    reward_config_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="Holds for windows that close from now on."
    )
    config = serializers.DictField(required=False, help_text=_CONFIG_EXAMPLE)
    effective = serializers.ChoiceField(
        choices=["recompute"],
        required=False,
        help_text="Let a change of scoring hold at once: the open window is computed anew.",
    )
    expected_version = serializers.IntegerField(
        required=False, help_text="Refuse the change if the board is at another version."
    )


class BoardOutput(serializers.Serializer[Any]):
    leaderboard_id = serializers.CharField()
    tenant_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=Leaderboard.Status.choices)
    version = serializers.IntegerField()
    reward_config_id = serializers.CharField(allow_null=True)
    config = serializers.DictField(help_text="With every default filled in.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class BoardListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    leaderboards = BoardOutput(many=True)


class BoardListQuery(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=Leaderboard.Status.choices, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    offset = serializers.IntegerField(min_value=0, default=0)


class BoardAliasQuery(BoardListQuery):
    tenant_id = serializers.CharField(
        required=False, help_text="Left out: all boards that the credential may see."
    )


class PageQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)
    offset = serializers.IntegerField(min_value=0, default=0)


class VersionQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=1000)
    offset = serializers.IntegerField(min_value=0, default=0)


class DifferenceOutput(serializers.Serializer[Any]):
    path = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class VersionOutput(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    author = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    effect = serializers.ChoiceField(choices=BoardVersion.Effect.choices)
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    reward_config_id = serializers.CharField(allow_null=True)
    config = serializers.DictField()
    changes = DifferenceOutput(many=True, help_text="What differs from the version before.")


class VersionListOutput(serializers.Serializer[Any]):
    leaderboard_id = serializers.CharField()
    total = serializers.IntegerField()
    versions = VersionOutput(many=True)


class WindowOutput(serializers.Serializer[Any]):
    window_key = serializers.CharField()
    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField(allow_null=True)
    window_status = serializers.ChoiceField(choices=["open", "closing", "closed", "void"])
    total_players = serializers.IntegerField()
    hash = serializers.CharField(allow_null=True)
    previous_hash = serializers.CharField(allow_null=True)
    revision = serializers.IntegerField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)


class WindowListOutput(serializers.Serializer[Any]):
    leaderboard_id = serializers.CharField()
    windows = WindowOutput(many=True)
    total = serializers.IntegerField()


class EntryOutput(serializers.Serializer[Any]):
    rank = serializers.IntegerField(allow_null=True)
    ranked = serializers.BooleanField()
    hidden = serializers.BooleanField()
    user_id = serializers.CharField()
    score = serializers.DecimalField(max_digits=15, decimal_places=6, coerce_to_string=False)
    reached_at = serializers.DateTimeField()
    event_count = serializers.IntegerField()


class EntryListOutput(serializers.Serializer[Any]):
    leaderboard_id = serializers.CharField()
    window_key = serializers.CharField()
    entries = EntryOutput(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class FaultOutput(serializers.Serializer[Any]):
    field = serializers.CharField()
    message = serializers.CharField()


class RefusalOutput(serializers.Serializer[Any]):
    error = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField()
    details = FaultOutput(many=True, required=False)
