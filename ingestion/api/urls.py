"""Paths of the ingestion gateway, of its part in the admin gateway, and of every process."""

from typing import Any

from django.urls import path

from ingestion.api.views import events, health, log

common_urlpatterns: list[Any] = [
    path("health", health.HealthView.as_view(), name="health"),
    path("ready", health.ReadyView.as_view(), name="ready"),
]
ingestion_urlpatterns: list[Any] = [
    path("v1/events", events.StoreEventView.as_view(), name="store-event"),
    path("v1/events/bulk", events.StoreEventsView.as_view(), name="store-events"),
]
admin_urlpatterns: list[Any] = [
    path("v1/tenants/<slug:tenant_id>/events", log.EventListView.as_view(), name="event-list"),
    path(
        # An event id may hold a slash.
        "v1/tenants/<slug:tenant_id>/events/<path:event_id>",
        log.EventDetailView.as_view(),
        name="event-detail",
    ),
]
