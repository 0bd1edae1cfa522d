"""Shapes that several subjects show in the reference."""

from typing import Any

from rest_framework import serializers


class DocumentVersionOutput(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    author = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    document = serializers.DictField(help_text="The object as it was at this version.")


class DocumentVersionListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    versions = DocumentVersionOutput(many=True)


class ReasonInput(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, help_text="Why; kept with what is done.")
