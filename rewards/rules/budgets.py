"""How much of a rule's budget is used, and what staff are told of it (RUL-11)."""

from decimal import Decimal

from rewards.types.rules import Budget, Spent

__all__ = ["notice_text", "share_of"]

_HUNDRED = Decimal(100)


def share_of(budget: Budget, spent: Spent) -> Decimal:
    """Return the used share in percent, of firings or cost, whichever is more; 0 without limit."""
    shares = [Decimal(0)]
    if budget.firings is not None:
        shares.append(_HUNDRED * spent.firings / budget.firings)
    if budget.cost is not None:
        shares.append(_HUNDRED * spent.cost / budget.cost)
    return max(shares)


def notice_text(rule_id: str, share: int, budget: Budget, spent: Spent) -> str:
    """Return the sentence that staff read."""
    used = []
    if budget.firings is not None:
        used.append(f"{spent.firings} of {budget.firings} firings")
    if budget.cost is not None:
        used.append(f"{spent.cost.normalize():f} of {budget.cost.normalize():f}")
    lead = "The budget is used up" if share == 100 else f"{share} % of the budget are used"
    return f"{lead} by the rule {rule_id}: {' and '.join(used)}."
