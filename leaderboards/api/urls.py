"""Paths of the query gateway and of this app's part in the admin gateway."""

from typing import Any

from leaderboards.api.query_urls import query_urlpatterns

__all__ = ["admin_urlpatterns", "query_urlpatterns", "shared_urlpatterns"]

admin_urlpatterns: list[Any] = []
# GET and POST /v1/leaderboards: the kind of credential decides which gateway answers.
shared_urlpatterns: list[Any] = []
