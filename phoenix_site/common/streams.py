"""Answers that are made while they are sent, so that a long file never lies in memory."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

__all__ = ["file_answer"]


def file_answer(
    request: HttpRequest, parts: Iterator[str], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """Return an answer that a browser saves as the file ``name``; ``parts`` may ask the database.

    Each part is made when the one before was taken, in a thread where the server is asynchronous.
    """
    content: Any = _parts_in_threads(parts) if isinstance(request, ASGIRequest) else parts
    return StreamingHttpResponse(
        content,
        content_type=f"{content_type}; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


async def _parts_in_threads(parts: Iterator[str]) -> AsyncIterator[str]:
    while (part := await _take(parts)) is not None:
        yield part


@sync_to_async
def _take(parts: Iterator[str]) -> str | None:
    return next(parts, None)
