"""Paths of the WebSockets."""

from django.urls import path

from leaderboards.consumers.socket import StandingsSocket

websocket_urlpatterns = [
    path("v1/leaderboards/<str:leaderboard_id>/ws", StandingsSocket()),  # type: ignore[arg-type]
]
