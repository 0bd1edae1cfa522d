"""Paths of the fast entrance, collected from the apps whose gateways this process mounts."""

from typing import Any

from django.conf import settings

from ingestion.api import fast as ingestion
from leaderboards.api import fast as leaderboards
from rewards.api import fast as rewards


def fast_urlpatterns() -> list[Any]:
    """Return the hot paths, or none when the fast entrance is switched off."""
    if not settings.PHOENIX_FAST_DOOR:
        return []
    patterns: list[Any] = []
    if "ingestion" in settings.PHOENIX_GATEWAYS:
        patterns += ingestion.urlpatterns
    if "query" in settings.PHOENIX_GATEWAYS:
        patterns += [*leaderboards.urlpatterns, *rewards.urlpatterns]
    return patterns
