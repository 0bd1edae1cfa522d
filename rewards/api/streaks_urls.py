"""Paths of streaks."""

from typing import Any, Final

from django.urls import path

from rewards.api import streak_shapes as shapes
from rewards.api.collections import Collection, admin_paths, collection_paths
from rewards.api.views import streaks as views
from rewards.selectors import streaks as selectors
from rewards.services import streak_definitions as services

STREAKS: Final = Collection(
    path="streaks",
    plural="streaks",
    scope="rewards",
    key="streak_id",
    converter="uuid",
    statuses=views.STATUSES,
    list_page=selectors.streaks_page,
    find=selectors.get_streak,
    documents=selectors.documents,
    create=services.create_streak,
    replace=services.replace_streak,
    patch=services.patch_streak,
    archive=services.archive_streak,
    duplicate=services.duplicate_streak,
    versions=selectors.versions,
    input_shape=shapes.StreakInput,
    output_shape=shapes.StreakOutput,
    list_shape=shapes.StreakListOutput,
    change_shape=shapes.StreakChange,
    shared=("v1/streaks",),
)

admin_urlpatterns: list[Any] = [
    *collection_paths(STREAKS),
    # Without a tenant it lists those of all, so it is not the collection's own short form.
    path("v1/streaks", views.StreaksAliasView.as_view()),
    *admin_paths("streaks/<uuid:streak_id>/repair", views.RepairView),
    *admin_paths("streaks/<uuid:streak_id>/freezes", views.FreezesView),
]
query_urlpatterns: list[Any] = [
    path("v1/streaks/definitions", views.DefinitionsView.as_view()),
    path("v1/streaks/user/<str:user_id>", views.PlayerStreaksView.as_view()),
    path("v1/streaks/user/<str:user_id>/<uuid:definition_id>", views.PlayerStreakView.as_view()),
]
shared_urlpatterns: list[Any] = []
