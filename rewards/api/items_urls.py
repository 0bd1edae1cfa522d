"""Paths of reward items (``rewards`` for short) and reward configs."""

from dataclasses import replace
from typing import Any, Final

from rewards.api import item_shapes as shapes
from rewards.api.collections import Collection, collection_paths
from rewards.selectors import items as selectors
from rewards.services import configs, items

ITEMS: Final = Collection(
    path="reward-items",
    plural="reward_items",
    scope="rewards",
    key="item_id",
    converter="uuid",
    filters=("reward_type",),
    list_page=selectors.item_page,
    find=selectors.get_item,
    documents=shapes.item_bodies,
    create=items.create_item,
    replace=items.replace_item,
    patch=items.patch_item,
    archive=items.archive_item,
    duplicate=items.duplicate_item,
    versions=selectors.item_versions,
    input_shape=shapes.RewardItemInput,
    output_shape=shapes.RewardItemOutput,
    list_shape=shapes.RewardItemListOutput,
    change_shape=shapes.RewardItemChange,
)
ITEMS_BY_ALIAS: Final = replace(
    ITEMS, path="rewards", plural="rewards", list_shape=shapes.RewardItemAliasListOutput
)
CONFIGS: Final = Collection(
    path="reward-configs",
    plural="reward_configs",
    scope="rewards",
    key="config_id",
    converter="uuid",
    filters=("type",),
    list_page=selectors.config_page,
    find=selectors.get_config,
    documents=shapes.config_bodies,
    create=configs.create_config,
    replace=configs.replace_config,
    patch=configs.patch_config,
    archive=configs.archive_config,
    duplicate=configs.duplicate_config,
    versions=selectors.config_versions,
    input_shape=shapes.RewardConfigInput,
    output_shape=shapes.RewardConfigOutput,
    list_shape=shapes.RewardConfigListOutput,
    change_shape=shapes.RewardConfigChange,
)

admin_urlpatterns: list[Any] = [
    *collection_paths(ITEMS),
    *collection_paths(ITEMS_BY_ALIAS),
    *collection_paths(CONFIGS),
]
query_urlpatterns: list[Any] = []
shared_urlpatterns: list[Any] = []
