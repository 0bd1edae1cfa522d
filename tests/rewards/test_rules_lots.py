from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.rules.lots import draw, is_due, total
from rewards.types.money import LotState

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
ANA, GOLD = UUID(int=1), UUID(int=2)


def lot(
    remaining: int, *, days: int | None = None, number: int = 1, credit: UUID | None = None
) -> LotState:
    ends = None if days is None else NOON + timedelta(days=days)
    amount = Decimal(remaining)
    return LotState(ANA, GOLD, amount, amount, ends, NOON, transaction_id=credit, id=number)


def test_what_ends_first_pays_first_then_the_oldest_and_what_never_ends_last() -> None:
    lasting, late, older, newer = (
        lot(5),
        lot(5, days=9, number=2),
        lot(5, days=1, number=3),
        lot(5, days=1, number=4),
    )

    draws = draw([lasting, newer, late, older], Decimal(17))

    assert [each.lot.id for each in draws] == [3, 4, 2, 1]
    assert [int(each.amount) for each in draws] == [5, 5, 5, 2]
    assert lasting.remaining == 3


def test_a_named_lot_pays_before_all_others() -> None:
    soon, own = lot(5, days=1), lot(5, days=9, number=2)

    draws = draw([soon, own], Decimal(6), first=[own])

    assert [each.lot.id for each in draws] == [2, 1]


def test_a_lot_is_due_at_the_instant_at_which_it_ends() -> None:
    ends = lot(5, days=1)

    assert not is_due(ends, NOON + timedelta(days=1, microseconds=-1))
    assert is_due(ends, NOON + timedelta(days=1))
    assert not is_due(lot(0, days=1), NOON + timedelta(days=2))
    assert not is_due(lot(5), NOON + timedelta(days=9999))


def test_more_than_there_is_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="1 less"):
        draw([lot(2), lot(3, number=2)], Decimal(6))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(1, 9)), max_size=8),
    st.integers(0, 100),
)
def test_what_is_drawn_and_what_is_left_are_what_there_was(
    amounts: list[tuple[int, int | None]], share: int
) -> None:
    lots = [lot(left, days=days, number=at) for at, (left, days) in enumerate(amounts)]
    before = total(lots)
    wanted = Decimal(int(before * share / 100))

    draws = draw(lots, wanted) if wanted else []

    assert sum((each.amount for each in draws), Decimal(0)) == wanted
    assert total(lots) == before - wanted
    assert all(each.amount > 0 and each.lot.remaining >= 0 for each in draws)
