"""Paths of the gateways that this process mounts (``PHOENIX_GATEWAYS``)."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView

from ingestion.api import urls as ingestion
from leaderboards.api import urls as leaderboards
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.http import error_response, internal_error_response
from phoenix_site.common.requests import current_request_id
from rewards.api import urls as rewards
from tenants.api import urls as tenants


def not_found(_request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer an unknown path in the one error shape."""
    return error_response(NotFoundError("There is nothing here."), current_request_id())


def server_error(_request: HttpRequest) -> HttpResponse:
    """Answer a fault of our own with nothing but its request id."""
    return internal_error_response(current_request_id())


handler404 = not_found
handler500 = server_error


def gateway_urlpatterns(gateways: frozenset[str]) -> list[Any]:
    """Return the paths of ``gateways``; health and readiness are on every process."""
    patterns: list[Any] = [*ingestion.common_urlpatterns]
    if "ingestion" in gateways:
        patterns += ingestion.ingestion_urlpatterns
    # Paths are tried one by one: those that many players ask come first.
    if "query" in gateways or "admin" in gateways:
        # One path, two gateways: the kind of credential decides (spec 02 ADM-120).
        patterns += [*leaderboards.shared_urlpatterns, *rewards.shared_urlpatterns]
    if "query" in gateways:
        patterns += [*leaderboards.query_urlpatterns, *rewards.query_urlpatterns]
    if "admin" in gateways:
        patterns += [
            *tenants.admin_urlpatterns,
            *ingestion.admin_urlpatterns,
            *leaderboards.admin_urlpatterns,
            *rewards.admin_urlpatterns,
        ]
    if "docs" in gateways:
        patterns += docs_urlpatterns()
    if "ops" in gateways:
        patterns += ops_urlpatterns()
    return patterns


def docs_urlpatterns() -> list[Any]:
    """Return the machine-readable and the human-readable description of every gateway."""
    from phoenix_site import docs

    return [path("openapi.json", docs.schema), path("docs/", docs.reference, name="docs")]


def ops_urlpatterns() -> list[Any]:
    """Return the admin and, in a sandbox, the demo page at ``/``."""
    from django.contrib import admin

    from phoenix_site.admin import dashboard_data

    patterns: list[Any] = [
        path("admin/dashboard.json", dashboard_data, name="dashboard-data"),
        path("admin/", admin.site.urls),
    ]
    if settings.PHOENIX_ENV == "sandbox":
        patterns.append(path("", include("phoenix_site.demo")))
    else:
        patterns.append(path("", RedirectView.as_view(pattern_name="admin:index")))
    return patterns


urlpatterns = gateway_urlpatterns(settings.PHOENIX_GATEWAYS)
