"""Paths of the query gateway and of this app's part in the admin gateway."""

from typing import Any

from django.urls import path

from leaderboards.api.query_urls import query_urlpatterns
from leaderboards.api.views import admin, shared

__all__ = ["admin_urlpatterns", "query_urlpatterns", "shared_urlpatterns"]

_BOARDS = "v1/tenants/<slug:tenant_id>/leaderboards"
_BOARD = f"{_BOARDS}/<str:leaderboard_id>"

admin_urlpatterns: list[Any] = [
    path(_BOARDS, admin.BoardsAdminView.as_view(), name="board-list"),
    path(_BOARD, admin.BoardAdminView.as_view(), name="board-detail"),
    path(f"{_BOARD}/versions", admin.BoardVersionsView.as_view(), name="board-versions"),
    path(f"{_BOARD}/windows", admin.BoardWindowsView.as_view(), name="board-windows"),
    path(
        f"{_BOARD}/windows/<str:window_key>/entries",
        admin.WindowEntriesView.as_view(),
        name="window-entries",
    ),
]
# GET and POST /v1/leaderboards: the kind of credential decides which gateway answers.
shared_urlpatterns: list[Any] = [path("v1/leaderboards", shared.boards_view, name="boards")]
