"""Amounts of effects: fixed, a multiple of a field, steps, or an expression.

What is no number, missing or negative is 0. Amounts are exact until a currency rounds them.
"""

from decimal import Context, Decimal
from typing import Any, Final

from phoenix_site.common.documents import Section, plain_json, plain_number
from phoenix_site.common.expressions import ExpressionError, ExpressionFailure, compile_expression
from phoenix_site.common.paths import (
    Reader,
    Roots,
    as_number,
    compile_reader,
    format_path,
    parse_path,
)
from rewards.types.book import CurrencyView
from rewards.types.money import MAX_AMOUNT
from rewards.types.rules import Amount, Root

__all__ = ["NO_AMOUNT", "fixed", "read_amount"]

# Numbers of events have 38 digits and exponents to 30: products of two are exact in this many.
_EXACT: Final = Context(prec=200, traps=[])
_ZERO: Final = Decimal(0)
_ROOTS: Final = Roots(
    frozenset({"attrs.", "actor.metadata.", "event.attrs.", "event.actor.metadata."})
)
_KEYS: Final = {
    "fixed": ("type", "amount"),
    "multiplier": ("type", "field", "factor"),
    "step": ("type", "field", "per", "amount"),
    "expression": ("type", "expression"),
}
_UNBUILT: Final = frozenset({"percent_table"})


def fixed(value: Decimal) -> Amount:
    """Return the amount that is always ``value``."""
    return Amount({"type": "fixed", "amount": value}, lambda root: value)


NO_AMOUNT: Final = fixed(_ZERO)


def read_amount(parent: Section, key: str, currency: CurrencyView | None = None) -> Amount:
    """Return the amount at ``key`` of ``parent``; what it gives is rounded by nobody yet.

    ``currency`` is the one it counts in, so that a given number can be refused for its decimals.
    """
    if not parent.require(key):
        return NO_AMOUNT
    document = parent.raw(key)
    kind = document.get("type") if isinstance(document, dict) else None
    kind = kind if isinstance(kind, str) else None
    if kind in _UNBUILT:
        parent.refuse(f"{key}.type", "not supported yet")
        return NO_AMOUNT
    section = parent.section(key, keys=_KEYS.get(str(kind), _ALL_KEYS))
    if not section.is_object:
        return NO_AMOUNT
    if kind not in _KEYS:
        section.refuse("type", f"must be one of {', '.join(_KEYS)}")
        return NO_AMOUNT
    before = len(section.faults)
    made = _READERS[str(kind)](section, currency)
    return made if len(section.faults) == before else NO_AMOUNT


_ALL_KEYS: Final = tuple({key for keys in _KEYS.values() for key in keys})


def _positive(section: Section, key: str, currency: CurrencyView | None) -> Decimal:
    section.require(key)
    value = section.number(key)
    if value is None:
        return _ZERO
    fault = _fault_of(value, currency)
    if fault is not None:
        section.refuse(key, fault)
        return _ZERO
    return value


def _fault_of(value: Decimal, currency: CurrencyView | None) -> str | None:
    if value <= 0:
        return "must be greater than 0"
    if value >= MAX_AMOUNT:
        return "is larger than any amount can be"
    try:
        plain_number(value)
    except ValueError as exc:
        return str(exc)
    if currency is not None and not currency.fits(value):
        return f"has more than the {currency.decimal_places} decimals of its currency"
    return None


def _field(section: Section) -> tuple[str, Reader]:
    if section.require("field"):
        try:
            steps = parse_path(section.raw("field"))
        except ValueError as exc:
            section.refuse("field", str(exc))
        else:
            if _ROOTS.allow(steps):
                return format_path(steps), compile_reader(
                    steps[1:] if steps[0] == "event" else steps
                )
            section.refuse("field", f"is not a known path; paths start with {_ROOTS.in_words}")
    return "", compile_reader(("attrs",))


def _document(section: Section, **values: Any) -> dict[str, Any]:
    return {"type": section.raw("type"), **plain_json(values)}


def _read_fixed(section: Section, currency: CurrencyView | None) -> Amount:
    value = _positive(section, "amount", currency)
    return Amount(_document(section, amount=value), lambda root: value)


def _read_multiplier(section: Section, _currency: CurrencyView | None) -> Amount:
    path, read = _field(section)
    factor = _positive(section, "factor", None)

    def evaluate(root: Root) -> Decimal:
        number = as_number(read(root))
        return _ZERO if number is None or number <= 0 else _EXACT.multiply(number, factor)

    return Amount(_document(section, field=path, factor=factor), evaluate, (path,))


def _read_step(section: Section, currency: CurrencyView | None) -> Amount:
    path, read = _field(section)
    per = _positive(section, "per", None)
    each = _positive(section, "amount", currency)

    def evaluate(root: Root) -> Decimal:
        number = as_number(read(root))
        if number is None or number <= 0:
            return _ZERO
        return _EXACT.multiply(_EXACT.divide_int(number, per), each)

    return Amount(_document(section, field=path, per=per, amount=each), evaluate, (path,))


def _read_expression(section: Section, _currency: CurrencyView | None) -> Amount:
    if not section.require("expression"):
        return NO_AMOUNT
    try:
        expression = compile_expression(section.raw("expression"))
    except ExpressionError as exc:
        section.refuse("expression", f"{exc.message} (at character {exc.position + 1})")
        return NO_AMOUNT

    def evaluate(root: Root) -> Decimal:
        try:
            value = expression.evaluate(root)
        except ExpressionFailure:
            return _ZERO
        return value if value > 0 else _ZERO

    return Amount(_document(section, expression=expression.text), evaluate, expression.paths)


_READERS: Final = {
    "fixed": _read_fixed,
    "multiplier": _read_multiplier,
    "step": _read_step,
    "expression": _read_expression,
}
