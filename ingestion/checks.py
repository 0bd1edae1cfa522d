"""System checks: the dotted paths by which apps above the log are reached, and durable commits."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections
from django.utils.module_loading import import_string


@register()
def check_dotted_paths(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    return [
        Error(
            f"{name} names {path}, which cannot be imported: {problem}.",
            hint="Correct the dotted path in phoenix_site/settings.py.",
            id="ingestion.E001",
        )
        for name, path in _dotted_paths()
        if (problem := _problem_of(path))
    ]


def _dotted_paths() -> Iterator[tuple[str, str]]:
    for consumer, entry in settings.PHOENIX_EVENT_CONSUMERS.items():
        for use in ("task", "replay", "effects"):
            if use in entry:
                yield f"PHOENIX_EVENT_CONSUMERS[{consumer!r}][{use!r}]", entry[use]
    for path in settings.PHOENIX_RETENTION_HOLDS:
        yield "PHOENIX_RETENTION_HOLDS", path


def _problem_of(path: str) -> str:
    try:
        import_string(path)
    except ImportError as exc:
        return str(exc)
    return ""


@register(Tags.database)
def check_durable_commits(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Refuse a database that answers before an event is on its disk (01/ING-18)."""
    if "default" not in (databases or ()):
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT current_setting('synchronous_commit')")
        if cursor.fetchone()[0] != "off":
            return []
    message = Error if settings.PHOENIX_ENV == "prod" else Warning
    return [
        message(
            "PostgreSQL's synchronous_commit is off: a crash would lose acknowledged events.",
            hint="Set synchronous_commit to on for Phoenix's role or database.",
            id="ingestion.E002",
        )
    ]
