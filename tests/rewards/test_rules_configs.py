"""Reward configs: which tiers are taken, and what a result is worth (GRT-2)."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from rewards.exceptions import DocumentError
from rewards.rules.configs import (
    items_for_level,
    items_for_milestone,
    items_for_rank,
    items_for_threshold,
    read_config,
)
from rewards.types.book import ConfigView, TierView

A, B, C = (UUID(int=number) for number in (1, 2, 3))
ITEMS = {A, B, C}


def config(*tiers: dict[str, Any], config_type: str = "leaderboard") -> dict[str, Any]:
    return {"name": "Prizes", "type": config_type, "tiers": list(tiers)}


def ranks(low: int, high: int, *given: UUID, **more: Any) -> dict[str, Any]:
    return {"rank_min": low, "rank_max": high, "item_ids": [str(each) for each in given], **more}


def faults_of(sent: Any) -> dict[str, str]:
    with pytest.raises(DocumentError) as refused:
        read_config(sent, ITEMS)
    return {fault.path: fault.message for fault in refused.value.faults}


def test_tiers_are_kept_in_order_with_every_default() -> None:
    sent = config(ranks(4, 10, B), {"rank_min": 1, "item_ids": [str(A)], "name": "Winner"})

    kept = read_config(sent, ITEMS).tiers

    assert kept == [
        {
            "name": "Winner",
            "rank_min": 1,
            "rank_max": 1,
            "item_ids": [str(A)],
            "by_category": {},
        },
        {"name": "", "rank_min": 4, "rank_max": 10, "item_ids": [str(B)], "by_category": {}},
    ]


@pytest.mark.parametrize(
    ("sent", "path", "message"),
    [
        (config(ranks(1, 3, A), ranks(3, 5, B)), "tiers.1.rank_min", "overlaps with another tier"),
        (config(ranks(1, 9, A), ranks(2, 3, B)), "tiers.1.rank_min", "overlaps with another tier"),
        (config(ranks(3, 1, A)), "tiers.0.rank_max", "must not be less than rank_min"),
        (config(ranks(0, 1, A)), "tiers.0.rank_min", "must be a whole number from 1 to 1000000000"),
        (config({"item_ids": [str(A)]}), "tiers.0.rank_min", "is required"),
        (config(ranks(1, 1)), "tiers.0.item_ids", "must name at least one item"),
        (
            config(ranks(1, 1, uuid4())),
            "tiers.0.item_ids.0",
            "is not a reward item of the tenant",
        ),
        (config(ranks(1, 1, A, A)), "tiers.0.item_ids.1", "is named twice"),
        (
            config(ranks(1, 1, A, by_category={"vip": [str(uuid4())]})),
            "tiers.0.by_category.vip.0",
            "is not a reward item of the tenant",
        ),
        (
            config(ranks(1, 1, A, by_category=[])),
            "tiers.0.by_category",
            "must be an object with a list of items for each category",
        ),
        (config(ranks(1, 1, A, milestone=3)), "tiers.0.milestone", "is not a known key"),
        (config(), "tiers", "must be a list of 1 to 500 tiers"),
        (config(ranks(1, 1, A), config_type="mission"), "type", "not supported yet"),
        (
            config(
                {"milestone": 7, "item_ids": [str(A)]},
                {"milestone": 7, "item_ids": [str(B)]},
                config_type="streak",
            ),
            "tiers.1.milestone",
            "stands in another tier already",
        ),
        (
            config({"threshold": 0, "item_ids": [str(A)]}, config_type="achievement"),
            "tiers.0.threshold",
            "must be greater than 0",
        ),
        (
            config({"level": Decimal("1.5"), "item_ids": [str(A)]}, config_type="level"),
            "tiers.0.level",
            "must be a whole number from 1 to 1000000000",
        ),
    ],
)
def test_what_is_wrong_is_named(sent: dict[str, Any], path: str, message: str) -> None:
    found = faults_of(sent)

    assert list(found) == [path]
    assert found[path].startswith(message)


def view(*tiers: TierView) -> ConfigView:
    return ConfigView(uuid4(), "Prizes", "leaderboard", tiers, is_active=True)


def test_a_rank_is_worth_the_items_of_its_tier() -> None:
    prizes = view(
        TierView("Winner", (A,), rank_min=1, rank_max=1),
        TierView("", (B, C), {"vip": (A,)}, rank_min=2, rank_max=3),
    )

    assert items_for_rank(prizes, 1) == (A,)
    assert items_for_rank(prizes, 2) == items_for_rank(prizes, 3) == (B, C)
    assert items_for_rank(prizes, 4) == ()
    # A category of its own replaces what everybody else gets.
    assert items_for_rank(prizes, 3, "vip") == (A,)
    assert items_for_rank(prizes, 1, "vip") == (A,)


def test_a_value_is_worth_the_items_of_exactly_that_value() -> None:
    prizes = view(TierView("", (A,), value=Decimal(7)), TierView("", (B,), value=Decimal("2.5")))

    assert items_for_milestone(prizes, 7) == items_for_level(prizes, 7) == (A,)
    assert items_for_milestone(prizes, 6) == ()
    assert items_for_threshold(prizes, Decimal("2.50")) == (B,)
    assert items_for_rank(prizes, 1) == ()
