"""``/v1/leaderboards``: one path of two gateways, where the kind of credential decides."""

from leaderboards.api.views.admin import BoardsAliasView
from leaderboards.api.views.query import BoardsView
from tenants.api.gateways import shared_view

boards_view = shared_view(
    BoardsAliasView.as_view(), BoardsView.as_view(), described=BoardsAliasView
)
