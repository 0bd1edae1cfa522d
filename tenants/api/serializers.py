from typing import Any

from rest_framework import serializers


class StaffSignInInput(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False)
    otp = serializers.CharField(
        max_length=16,
        required=False,
        allow_null=True,
        help_text="The one-time code, where the person has a second factor.",
    )


class RefreshInput(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=8192)


class StaffTokensOutput(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="A Bearer credential of the admin gateway.")
    refresh = serializers.CharField(help_text="Gets the next pair, once.")
    expires_in = serializers.IntegerField(help_text="Seconds until the access token ends.")
