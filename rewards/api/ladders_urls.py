"""Paths of ladders and levels."""

from typing import Any, Final

from django.urls import path

from rewards.api import ladder_shapes as shapes
from rewards.api.collections import Collection, admin_paths, collection_paths
from rewards.api.converters import MEMBER
from rewards.api.views import ladders as views
from rewards.selectors import ladders as selectors
from rewards.services import ladders

LADDERS: Final = Collection(
    path="levels",
    plural="levels",
    scope="rewards",
    key="ladder_id",
    converter=MEMBER,
    list_page=selectors.ladder_page,
    find=selectors.get_ladder,
    documents=shapes.ladder_bodies,
    create=ladders.create_ladder,
    replace=ladders.change_ladder,
    patch=ladders.patch_ladder,
    archive=ladders.archive_ladder,
    duplicate=ladders.duplicate_ladder,
    versions=selectors.ladder_versions,
    input_shape=shapes.LadderInput,
    output_shape=shapes.LadderOutput,
    list_shape=shapes.LadderListOutput,
    change_shape=shapes.LadderChange,
)

admin_urlpatterns: list[Any] = [
    *collection_paths(LADDERS),
    *admin_paths(f"levels/<{MEMBER}:ladder_id>/preview", views.LadderPreviewView),
]
query_urlpatterns: list[Any] = [
    path("v1/levels/definitions", views.LadderDefinitionsView.as_view()),
    path("v1/levels/user/<str:user_id>", views.PlayerLevelView.as_view()),
]
shared_urlpatterns: list[Any] = []
