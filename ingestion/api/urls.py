"""Paths of the ingestion gateway, of its part in the admin gateway, and of every process."""

from typing import Any

from django.urls import path

from ingestion.api import views

common_urlpatterns: list[Any] = []
ingestion_urlpatterns: list[Any] = [
    path("v1/events", views.StoreEventView.as_view(), name="store-event"),
    path("v1/events/bulk", views.StoreEventsView.as_view(), name="store-events"),
]
admin_urlpatterns: list[Any] = []
