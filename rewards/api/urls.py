"""Paths of rewards on the query gateway and on the admin gateway, subject by subject.

``shared`` paths belong to both: there the kind of credential decides.
"""

from typing import Any

from rewards.api import (
    achievements_urls,
    backtests_urls,
    coupons_urls,
    grants_urls,
    items_urls,
    jobs_urls,
    ladders_urls,
    rules_urls,
    streaks_urls,
    wallets_urls,
)

__all__ = ["admin_urlpatterns", "query_urlpatterns", "shared_urlpatterns"]

_SUBJECTS: tuple[Any, ...] = (
    backtests_urls,
    jobs_urls,
    items_urls,
    grants_urls,
    achievements_urls,
    ladders_urls,
    wallets_urls,
    rules_urls,
    coupons_urls,
    streaks_urls,
)

admin_urlpatterns: list[Any] = [
    pattern for subject in _SUBJECTS for pattern in subject.admin_urlpatterns
]
query_urlpatterns: list[Any] = [
    pattern for subject in _SUBJECTS for pattern in subject.query_urlpatterns
]
shared_urlpatterns: list[Any] = [
    pattern for subject in _SUBJECTS for pattern in subject.shared_urlpatterns
]
