"""Paths of the query gateway (spec 02 section 6)."""

from typing import Any

from django.urls import path

from leaderboards.api.views import query

_BOARD = "v1/leaderboards/<str:leaderboard_id>"
_SNAPSHOTS = "v1/snapshots/<str:leaderboard_id>"

query_urlpatterns: list[Any] = [
    path(_BOARD, query.TopView.as_view()),
    path(f"{_BOARD}/user/<str:user_id>", query.NeighborhoodView.as_view()),
    path(f"{_BOARD}/rank/<str:user_id>", query.RankView.as_view()),
    path(f"{_BOARD}/score/<str:user_id>", query.ScoreView.as_view()),
    path(f"{_BOARD}/percentile/<str:user_id>", query.PercentileView.as_view()),
    path(f"{_BOARD}/rank-for-score", query.RankForScoreView.as_view()),
    path(f"{_BOARD}/users", query.GroupView.as_view()),
    path(f"{_BOARD}/windows", query.WindowsView.as_view()),
    path(f"{_BOARD}/ws", query.SocketView.as_view()),
    path(f"{_BOARD}/stream", query.StreamView.as_view()),
    path("v1/ws-tickets", query.TicketView.as_view()),
    path(_SNAPSHOTS, query.SnapshotsView.as_view()),
    path(f"{_SNAPSHOTS}/<str:snapshot_time>", query.SnapshotView.as_view()),
    path(
        f"{_SNAPSHOTS}/<str:snapshot_time>/user/<str:user_id>", query.SnapshotPlayerView.as_view()
    ),
]
