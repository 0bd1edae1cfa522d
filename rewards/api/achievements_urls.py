"""Paths of achievements."""

from typing import Any, Final

from django.urls import path

from rewards.api import achievement_shapes as shapes
from rewards.api.collections import Collection, admin_paths, collection_paths
from rewards.api.views import achievements as views
from rewards.selectors import achievements as selectors
from rewards.services import achievements

ACHIEVEMENTS: Final = Collection(
    path="achievements",
    plural="achievements",
    scope="rewards",
    key="achievement_id",
    converter="uuid",
    list_page=selectors.achievements_page,
    find=selectors.get_achievement,
    documents=selectors.documents,
    create=achievements.create_achievement,
    replace=achievements.replace_achievement,
    patch=achievements.patch_achievement,
    archive=achievements.archive_achievement,
    duplicate=achievements.duplicate_achievement,
    versions=selectors.versions,
    input_shape=shapes.AchievementInput,
    output_shape=shapes.AchievementOutput,
    list_shape=shapes.AchievementListOutput,
    change_shape=shapes.AchievementChange,
)
_ACHIEVEMENT: Final = "achievements/<uuid:achievement_id>"
_PLAYER: Final = "v1/achievements/user/<str:user_id>"

admin_urlpatterns: list[Any] = [
    *collection_paths(ACHIEVEMENTS),
    *admin_paths(f"{_ACHIEVEMENT}/recompute", views.RecomputeView),
    *admin_paths(f"{_ACHIEVEMENT}/grant", views.AchievementGrantView),
    *admin_paths(f"{_ACHIEVEMENT}/revoke", views.AchievementRevokeView),
]
query_urlpatterns: list[Any] = [
    path(_PLAYER, views.PlayerAchievementsView.as_view()),
    path(f"{_PLAYER}/history", views.PlayerHistoryView.as_view()),
    path(f"{_PLAYER}/<uuid:achievement_id>", views.PlayerAchievementView.as_view()),
]
shared_urlpatterns: list[Any] = []
