"""Paths of wallets, currencies, the ledger and its proofs."""

from typing import Any, Final

from django.urls import path

from rewards.api import wallet_shapes as shapes
from rewards.api.collections import Collection, admin_paths, collection_paths, shared_path
from rewards.api.converters import MEMBER
from rewards.api.views import wallets as views
from rewards.selectors import currencies as selectors
from rewards.services import currencies

CURRENCIES: Final = Collection(
    path="wallet/currencies",
    plural="currencies",
    scope="wallet",
    tag="wallet",
    key="currency_id",
    converter=MEMBER,
    list_page=selectors.currency_page,
    find=selectors.get_currency,
    documents=shapes.currency_bodies,
    create=currencies.create_currency,
    replace=currencies.replace_currency,
    patch=currencies.patch_currency,
    archive=currencies.archive_currency,
    duplicate=currencies.duplicate_currency,
    versions=selectors.currency_versions,
    input_shape=shapes.CurrencyInput,
    output_shape=shapes.CurrencyOutput,
    list_shape=shapes.CurrencyListOutput,
    change_shape=shapes.CurrencyChange,
    also=("v1/tenants/wallet/currencies",),
)
_HOLD: Final = "wallet/holds/<uuid:hold_id>"
_TRANSACTION: Final = "wallet/transactions/<uuid:transaction_id>"
# Players read these two under the same short path.
_SHARED: Final = ("v1/wallet/balances", "v1/wallet/transactions")

admin_urlpatterns: list[Any] = [
    *collection_paths(CURRENCIES),
    *admin_paths("wallet/grant", views.GrantView),
    *admin_paths("wallet/deduct", views.DeductView),
    *admin_paths("wallet/grant/bulk", views.BulkGrantView),
    *admin_paths("wallet/holds", views.HoldsView),
    *admin_paths(f"{_HOLD}/capture", views.CaptureView),
    *admin_paths(f"{_HOLD}/release", views.ReleaseView),
    *admin_paths("wallet/balances", views.AdminBalancesView, shared=_SHARED),
    *admin_paths("wallet/transactions", views.TransactionsView, shared=_SHARED),
    *admin_paths(_TRANSACTION, views.TransactionDetailView),
    *admin_paths(f"{_TRANSACTION}/reverse", views.ReverseView),
    *admin_paths("wallet/proofs", views.ProofsView),
]
query_urlpatterns: list[Any] = [
    path("v1/wallet/balances/<str:currency_id>", views.BalanceView.as_view()),
]
shared_urlpatterns: list[Any] = [
    shared_path("wallet/balances", views.AdminBalancesView, views.BalancesView),
    shared_path("wallet/transactions", views.TransactionsView, views.EntriesView),
]
