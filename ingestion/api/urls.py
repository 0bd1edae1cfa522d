"""Paths of the ingestion gateway, of its part in the admin gateway, and of every process."""

from typing import Any

common_urlpatterns: list[Any] = []
ingestion_urlpatterns: list[Any] = []
admin_urlpatterns: list[Any] = []
