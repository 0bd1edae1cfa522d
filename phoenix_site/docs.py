"""The description of every gateway: for machines at ``/openapi.json``, for people at ``/docs/``."""

import functools
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request

from phoenix_site.common.drf import GatewayView
from phoenix_site.common.json import encode

__all__ = ["described_patterns", "document", "reference", "schema"]

_PATH = "/openapi.json"
# The admin's pages and this description are for people.
_UNDESCRIBED = frozenset({"ops", "docs"})


def described_patterns() -> list[Any]:
    """Return the paths of all gateways, also of those that other processes serve."""
    from phoenix_site.urls import gateway_urlpatterns

    return gateway_urlpatterns(frozenset(settings.ALL_GATEWAYS) - _UNDESCRIBED)


def document() -> dict[str, Any]:
    """Return the description as OpenAPI."""
    generator: Any = SchemaGenerator(patterns=described_patterns())  # type: ignore[no-untyped-call]
    generated: dict[str, Any] = generator.get_schema(public=True)
    return generated


@functools.cache
def _encoded_document() -> bytes:
    return encode(document())


class SchemaView(GatewayView):
    """The description for machines; the same until the process ends."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=60"}
        return HttpResponse(_encoded_document(), content_type="application/json", headers=headers)


schema = SchemaView.as_view()
# Served from our own files: the reference also opens where the internet does not.
reference = SpectacularSwaggerView.as_view(
    url=_PATH,
    permission_classes=[AllowAny],
    authentication_classes=[],
    renderer_classes=[TemplateHTMLRenderer],
)
