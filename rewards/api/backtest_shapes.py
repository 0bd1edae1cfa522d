"""The shapes of backtests as the reference shows them; ``rules.backtest_questions`` reads them."""

from typing import Any

from rest_framework import serializers


class BacktestInput(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, help_text="A draft too.")
    compare_to = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    start = serializers.ChoiceField(
        choices=["empty", "as_of"],
        required=False,
        help_text="Whether limits, budget and wallets begin with nothing or as they were at from.",
    )
    to = serializers.DateTimeField(help_text="Events that occurred before it.")

    def get_fields(self) -> dict[str, Any]:
        since = serializers.DateTimeField(help_text="Events that occurred at or after it.")
        return {**super().get_fields(), "from": since}


class PastInput(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1)
    backtest_id = serializers.UUIDField(help_text="The job of the backtest.")
    result_hash = serializers.CharField(help_text="Of its result: what is confirmed.")
    reason = serializers.CharField(required=False, allow_null=True, max_length=500)
