"""Paths of grants, on the query gateway also known as orders."""

from typing import Any

from django.urls import path

from rewards.api.collections import admin_paths
from rewards.api.views import grants as views

_GRANT = "grants/<uuid:grant_id>"

admin_urlpatterns: list[Any] = [
    *admin_paths("grants", views.GrantsAdminView),
    *admin_paths(_GRANT, views.GrantView),
    *admin_paths(f"{_GRANT}/explain", views.GrantExplainView),
    *admin_paths(f"{_GRANT}/claim", views.GrantClaimView),
    *admin_paths(f"{_GRANT}/revoke", views.GrantRevokeView),
    *admin_paths(f"{_GRANT}/retry", views.GrantRetryView),
    *admin_paths(f"{_GRANT}/fulfill", views.GrantFulfillView),
]
query_urlpatterns: list[Any] = [
    path("v1/orders/user/<str:user_id>", views.OrdersView.as_view()),
    path("v1/orders/user/<str:user_id>/<uuid:order_id>", views.OrderView.as_view()),
    path("v1/rewards/grants", views.GrantsView.as_view()),
    path("v1/rewards/grants/<uuid:grant_id>/claim", views.ClaimView.as_view()),
    path("v1/rewards/groups/<uuid:group_id>/claim", views.GroupClaimView.as_view()),
]
shared_urlpatterns: list[Any] = []
