from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse


@dataclass(frozen=True, slots=True)
class SecretNotice:
    """What is shown once: the secret with its name, and what to know about it."""

    title: str
    lead: str
    label: str
    value: str
    notes: Sequence[str] = ()


def secret_page(
    model_admin: Any, request: HttpRequest, notice: SecretNotice, *, back_url: str
) -> HttpResponse:
    """Return the page that shows a secret once.

    It answers the very request that made the secret: no session, message or cache ever holds it.
    """
    context = {
        **model_admin.admin_site.each_context(request),
        "title": notice.title,
        "opts": model_admin.opts,
        "notice": notice,
        "back_url": back_url,
    }
    response = TemplateResponse(request, "phoenix/admin/secret.html", context)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
