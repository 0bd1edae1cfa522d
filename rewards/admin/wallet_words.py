"""Money in words and tables, for the pages of the ledger."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from rewards.models import Account, Lot, Posting
from rewards.selectors.currencies import Circulation

__all__ = [
    "amount",
    "circulation_table",
    "forecast_table",
    "lot_table",
    "owner_text",
    "posting_table",
    "table",
    "transaction_link",
]

_TABLE: Final = (
    '<div class="phoenix-scroll"><table class="phoenix-table"><thead><tr>{}</tr></thead>'
)
_END: Final = "<tbody>{}</tbody></table></div>"


def amount(value: Decimal | None) -> str:
    """Return an amount without the zeros that its column has behind it."""
    if value is None:
        return "-"
    whole = value == value.to_integral_value()
    return f"{int(value):,}" if whole else f"{value.normalize():,f}"


def owner_text(account: Account) -> str:
    """Return whose account it is: a player's, or the house's under a reference."""
    if account.player is not None:
        return account.player.external_id
    return account.reference or "the house"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> SafeString:
    """Return rows as a table."""
    shown = format_html_join(
        "",
        "<tr>{}</tr>",
        ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows),
    )
    head = format_html_join("", "<th>{}</th>", ((each,) for each in heads))
    return format_html(_TABLE + _END, head, shown)


def transaction_link(transaction_id: object, text: str) -> SafeString:
    """Return a link to a transaction's page."""
    url = reverse("admin:rewards_ledgertransaction_change", args=[transaction_id])
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)


def posting_table(postings: Iterable[Posting]) -> SafeString:
    """Return the lines of a transaction."""
    return table(
        ("Account", "Whose", "Currency", "Amount", "Afterwards"),
        (
            (
                _account_link(posting.account),
                owner_text(posting.account),
                posting.account.currency.currency_id,
                amount(posting.amount),
                amount(posting.balance_after),
            )
            for posting in postings
        ),
    )


def _account_link(account: Account) -> SafeString:
    url = reverse("admin:rewards_account_change", args=[account.pk])
    link = '<a class="text-link" href="{}">{}</a>'
    return format_html(link, url, account.get_kind_display())


def lot_table(lots: Iterable[Lot]) -> SafeString:
    """Return what is left of a wallet's credits, the next to end first."""
    return table(
        ("Left", "Of", "Ends (UTC)", "Credited (UTC)"),
        (
            (
                amount(lot.remaining),
                amount(lot.amount),
                "never" if lot.expires_at is None else f"{lot.expires_at:%d %b %Y, %H:%M}",
                f"{lot.created_at:%d %b %Y, %H:%M}",
            )
            for lot in lots
        ),
    )


def circulation_table(found: Circulation, *, base_currency: str) -> SafeString:
    """Return where everything of a currency is, and what it would cost."""
    cost = amount(found.liability.quantize(Decimal("0.01")))
    return table(
        ("In wallets", "Held", "In prize pools", "Circulating", "Liability", "Expired", "Fees"),
        [
            (
                f"{amount(found.wallets)} of {found.wallet_count:,} players",
                amount(found.held),
                amount(found.prize_pools),
                amount(found.circulating),
                f"{cost} {base_currency}".strip(),
                amount(found.expired),
                amount(found.fees),
            )
        ],
    )


def forecast_table(days: Sequence[tuple[Any, Decimal]]) -> SafeString | str:
    """Return what would expire day by day if nobody spent anything."""
    if not days:
        return "Nothing."
    rest, total = [], Decimal(0)
    for day, expiring in days:
        total += expiring
        rest.append((f"{day:%d %b %Y}", amount(expiring), amount(total)))
    return table(("Day (UTC)", "Expires", "Together"), rest)
