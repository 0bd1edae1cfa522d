"""Amounts and the decimals of their currency."""

from decimal import Decimal
from uuid import uuid4

import pytest

from rewards.types.book import CurrencyView


def currency(decimal_places: int) -> CurrencyView:
    return CurrencyView(
        pk=uuid4(),
        tenant_id="tenant-a",
        currency_id="gold",
        name="Gold",
        symbol=None,
        kind="points",
        role=None,
        is_spendable=True,
        decimal_places=decimal_places,
        unit_cost=Decimal(0),
        expiry_days=None,
        is_active=True,
    )


@pytest.mark.parametrize(
    ("amount", "decimal_places", "expected"),
    [
        ("5", 0, True),
        ("5.0", 0, True),
        ("5.5", 0, False),
        ("5.50", 1, True),
        ("0.00000001", 8, True),
        ("0.000000001", 8, False),
        ("100", 0, True),
        ("1e100", 0, True),
        ("1e-100", 8, False),
        ("0", 0, True),
        ("0.00", 0, True),
        ("NaN", 2, False),
        ("Infinity", 2, False),
    ],
)
def test_an_amount_fits_a_currency_that_has_its_decimals(
    amount: str, decimal_places: int, expected: bool
) -> None:
    assert currency(decimal_places).fits(Decimal(amount)) is expected
