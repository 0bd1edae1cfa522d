"""Logs: one line per moment worth knowing, the request id carried along.

``PHOENIX_LOG_FORMAT`` chooses ``console`` (for people) or ``json`` (for collectors).
"""

import logging
from typing import Any

import structlog

from phoenix_site.common.requests import current_request_id


def _add_request_id(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    request_id = current_request_id()
    if request_id and "request_id" not in event:
        event["request_id"] = request_id
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    _add_request_id,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """Return Django's ``LOGGING``: every logger, ours and the libraries', in one format."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "phoenix": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    renderer,
                ],
                "foreign_pre_chain": _SHARED,
            }
        },
        "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "phoenix"}},
        "root": {"handlers": ["stream"], "level": level},
        "loggers": {
            # Each of these would otherwise add a line per request or per heartbeat.
            "uvicorn.access": {"level": "WARNING"},
            # Here uvicorn logs each WebSocket with its query string, in which a ticket may stand.
            "uvicorn.error": {"level": "WARNING"},
            "django.request": {"level": "ERROR"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
        },
    }


def configure_structlog() -> None:
    """Send structlog's lines through the standard library's handlers."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> Any:
    """Return the logger of a module; call it as ``log.info("entity.action", id=…)``."""
    return structlog.get_logger(name)
