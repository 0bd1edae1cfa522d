"""Staff at the admin's keyboard, for tests of its pages."""

import re
from html import unescape
from typing import Any

from django.contrib.auth.models import AbstractUser, Permission
from django.test import Client

APPS = ("leaderboards", "rewards", "players", "ingestion", "tenants")


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def allow_everything(user: AbstractUser) -> None:
    """Give a staff member every permission on Phoenix's own pages; the tenants stay theirs."""
    user.user_permissions.set(Permission.objects.filter(content_type__app_label__in=APPS))


def allow(user: AbstractUser, *codenames: str) -> None:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))


def text_of(answer: Any) -> str:
    """Return the text of a page as a person reads it: no markup, no scripts, single spaces."""
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def messages_of(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def board_form(**changed: Any) -> dict[str, Any]:
    """Return the board form as a browser sends it; ``changed`` overrides fields."""
    return {
        "tenant": "tenant-a",
        "leaderboard_id": "xp",
        "name": "Weekly XP",
        "description": "",
        "rules": '[{"event_type": "game.completed", "points_expression": "attrs.points"}]',
        "match": "all",
        "scope": "",
        "aggregation": "sum",
        "decimals": "0",
        "max_points_per_event": "",
        "max_points_per_window": "",
        "max_events_per_window": "",
        "timeframe_type": "weekly",
        "timezone": "UTC",
        "reset_weekday": "monday",
        "reset_monthday": "1",
        "reset_time": "00:00",
        "start_at": "",
        "end_at": "",
        "grace_seconds": "300",
        "method": "score_desc",
        "tie_policy": "first_to_reach",
        "size": "1000",
        "min_score": "",
        "max_score": "",
        "snapshot_every_seconds": "3600",
        "snapshot_top": "100",
        "config_json": "",
    } | changed
