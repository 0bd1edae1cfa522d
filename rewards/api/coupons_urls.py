"""Paths of coupons."""

from typing import Any, Final

from django.urls import path

from rewards.api import coupon_shapes as shapes
from rewards.api.collections import Collection, admin_paths, collection_paths
from rewards.api.views import coupons as query
from rewards.api.views import coupons_admin as admin
from rewards.selectors import coupons as selectors
from rewards.services import coupons

COUPONS: Final = Collection(
    path="coupons",
    plural="coupons",
    scope="rewards",
    key="coupon_id",
    converter="uuid",
    statuses=("active", "inactive", "archived"),
    list_page=selectors.coupon_page,
    find=selectors.get_coupon,
    documents=shapes.coupon_bodies,
    create=coupons.create_coupon,
    replace=coupons.replace_coupon,
    patch=coupons.patch_coupon,
    archive=coupons.archive_coupon,
    duplicate=coupons.duplicate_coupon,
    versions=selectors.versions_of,
    input_shape=shapes.CouponInput,
    output_shape=shapes.CouponOutput,
    list_shape=shapes.CouponListOutput,
    change_shape=shapes.CouponChange,
)
_COUPON: Final = "coupons/<uuid:coupon_id>"
_PLAYER: Final = "v1/coupons/user/<str:user_id>"

admin_urlpatterns: list[Any] = [
    *collection_paths(COUPONS),
    *admin_paths(f"{_COUPON}/generate", admin.GenerateView),
    *admin_paths(f"{_COUPON}/import", admin.ImportView),
    *admin_paths(f"{_COUPON}/export", admin.ExportView),
    *admin_paths(f"{_COUPON}/redemptions", admin.CouponRedemptionsView),
    *admin_paths("coupons/codes/<str:code>/void", admin.VoidView),
    *admin_paths("coupons/redemptions/<uuid:redemption_id>/reverse", admin.ReverseView),
]
query_urlpatterns: list[Any] = [
    path("v1/coupons/definitions", query.DefinitionsView.as_view()),
    path(_PLAYER, query.PlayerCodesView.as_view()),
    path(f"{_PLAYER}/redemptions", query.PlayerRedemptionsView.as_view()),
    path(f"{_PLAYER}/<uuid:coupon_id>", query.PlayerCodeView.as_view()),
    path("v1/coupons/validate/<str:code>", query.ValidateView.as_view()),
    path("v1/coupons/redeem/<str:code>", query.RedeemView.as_view()),
]
shared_urlpatterns: list[Any] = []
