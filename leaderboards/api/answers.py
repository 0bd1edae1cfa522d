"""What every answer of the query gateway carries, whichever entrance it leaves by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from django.http import HttpRequest, HttpResponse

from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.http import error_response, json_response
from phoenix_site.common.json import encode
from phoenix_site.common.origins import bare
from phoenix_site.common.requests import current_request_id
from phoenix_site.common.times import format_utc

_FRESHNESS = "private, max-age=1"
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Content:
    """A body as it is sent, and its entity tag."""

    body: bytes
    tag: str


def encoded(body: Any) -> Content:
    """Return ``body`` as JSON, with the tag of exactly this content."""
    text = encode(body)
    return Content(text, f'W/"{blake2b(text, digest_size=12).hexdigest()}"')


def content_answer(
    request: HttpRequest,
    content: Content,
    *,
    as_of: datetime | None = None,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> HttpResponse:
    """Return the answer with ``content``, or 304 when the client has it already.

    ``as_of`` closes the body and is no part of the tag: it moves while nothing else does.
    """
    headers = {**headers, "ETag": content.tag, "Cache-Control": _FRESHNESS}
    if _has_match(request.META.get("HTTP_IF_NONE_MATCH"), content.tag):
        return bare(304, headers)
    body = content.body
    if as_of is not None:
        body = b'%b,"as_of":"%b"}' % (body[:-1], format_utc(as_of).encode())
    return HttpResponse(body, content_type="application/json", headers=headers)


def created_answer(body: Any) -> HttpResponse:
    """Return the answer to a request that made something secret; no cache keeps it."""
    return json_response(body, status=201, headers={"Cache-Control": "no-store"})


def refusal(error: DomainError) -> HttpResponse:
    """Return the answer for ``error``; no cache keeps it."""
    return error_response(error, current_request_id(), headers={"Cache-Control": "no-store"})


def _has_match(sent: str | None, tag: str) -> bool:
    """Compare weakly, as RFC 9110 section 13.1.2 asks of ``If-None-Match``."""
    if sent is None:
        return False
    wanted = tag.removeprefix("W/")
    return sent.strip() == "*" or any(
        candidate.strip().removeprefix("W/") == wanted for candidate in sent.split(",")
    )
