"""Paths of backtests."""

from typing import Any

from rewards.api.collections import admin_paths
from rewards.api.views import backtests as views

admin_urlpatterns: list[Any] = [
    *admin_paths("rules/<str:rule_id>/backtests", views.BacktestsView),
    *admin_paths("rules/<str:rule_id>/apply-to-past", views.ApplyToPastView),
]
query_urlpatterns: list[Any] = []
shared_urlpatterns: list[Any] = []
