"""Grants: what was given to whom and why, and what staff may do with it."""

from collections.abc import Sequence
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    InfinitePaginator,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    TextFilter,
    display,
)
from phoenix_site.common.json_fields import pretty
from rewards.admin.grant_actions import LIST, GrantActions, moment_text
from rewards.admin.item_words import amount_text, payload_text
from rewards.models import Grant
from rewards.selectors import grants as selectors
from tenants.admin.scoped import TenantScopedAdmin

COLORS: Final = {
    "unclaimed": "info",
    "processing": "info",
    "granted": "success",
    "failed": "danger",
    "pending_activation": "info",
    "activated": "success",
    "expired": "warning",
    "revoked": "warning",
}
_TABLE: Final = (
    '<div class="phoenix-scroll"><table class="phoenix-table"><thead><tr>{}</tr></thead>'
    "<tbody>{}</tbody></table></div>"
)


class PlayerFilter(TextFilter):  # type: ignore[misc]
    title = "player"
    parameter_name = "player"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Grant]) -> QuerySet[Grant]:
        value = self.value()
        return queryset.filter(player__external_id=value) if value else queryset


@admin.register(Grant)
class GrantAdmin(GrantActions, ReadOnlyAdmin, TenantScopedAdmin):
    """What players were given. Nobody edits a grant; it moves by actions, each for a reason."""

    list_display = ["item", "tenant_id", "player_id_text", "state", "source", "cost_text", "given"]
    list_filter = [
        "status",
        "source_type",
        PlayerFilter,
        "tenant",
        ("created_at", RangeDateTimeFilter),
    ]
    list_filter_submit = True
    list_select_related = ["player", "rule"]
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ["-created_at", "-pk"]
    search_fields = ["player__external_id__exact", "source_id__exact"]
    search_help_text = "The id of a player or of a source, whole"
    actions = ["claim_selected", "revoke_selected", "retry_selected", "fulfill_selected"]
    actions_list = ["give"]
    actions_detail = ["claim", "revoke", "retry", "fulfill"]

    # --- The page of one grant -----------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Grant | None = None) -> Any:
        return [
            (
                None,
                {
                    "fields": [
                        ("name", "gives"),
                        ("player_id_text", "tenant_id"),
                        ("status", "note"),
                        ("source", "cause"),
                        ("cost_text", "claim_by"),
                        ("given", "group"),
                    ]
                },
            ),
            ("Steps", {"fields": ["moves"]}),
            ("Money", {"fields": ["transactions"]}),
            ("Calls to the operator", {"fields": ["deliveries"]}),
            ("Context", {"fields": ["context_text"]}),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra: Any = None
    ) -> Any:
        # The steps and the audit log say more than Django's own history.
        return super().changeform_view(
            request, object_id, form_url, {"show_history": False, **(extra or {})}
        )

    @display(description="Item")
    def name(self, grant: Grant) -> str:
        return str(grant.snapshot.get("name", ""))

    @display(description="Gives")
    def gives(self, grant: Grant) -> str:
        return payload_text(grant.snapshot["reward_type"], grant.snapshot["payload"])

    @display(description="Rule and event")
    def cause(self, grant: Grant) -> str:
        rule = "" if grant.rule is None else f"{grant.rule.name}, version {grant.rule_version}"
        event = "" if grant.cause_event_id is None else f"event {grant.cause_event_id}"
        return "; ".join(filter(None, [rule, event])) or "-"

    @display(description="Given together")
    def group(self, grant: Grant) -> str | SafeString:
        if grant.group_total == 1:
            return "alone"
        url = f"{reverse(LIST)}?group_id__exact={grant.group_id}"
        text = f"{grant.group_total} grants"
        return format_html('<a class="phoenix-back" href="{}">{}</a>', url, text)

    @display(description="Steps")
    def moves(self, grant: Grant) -> str | SafeString:
        rows = [
            (moment_text(move.at), move.to_status, move.actor or "Phoenix", move.reason or "-")
            for move in selectors.moves_of(grant)
        ]
        return _table(("When (UTC)", "Status", "By", "Reason"), rows)

    @display(description="Transactions")
    def transactions(self, grant: Grant) -> str | SafeString:
        rows = [
            (
                moment_text(row.created_at),
                row.get_kind_display(),
                ", ".join(
                    f"{amount_text(posting.amount.normalize())} "
                    f"{posting.account.currency.currency_id} ({posting.account.kind})"
                    for posting in row.postings.all()
                ),
                row.reason or "-",
            )
            for row in selectors.transactions_of(grant)
        ]
        return _table(("When (UTC)", "Kind", "Postings", "Reason"), rows)

    @display(description="Deliveries")
    def deliveries(self, grant: Grant) -> str | SafeString:
        rows = [
            (
                moment_text(attempt.started_at),
                f"attempt {attempt.number}",
                attempt.status or attempt.error or "under way",
                "-" if attempt.milliseconds is None else f"{attempt.milliseconds} ms",
            )
            for delivery in selectors.deliveries_of(grant)
            for attempt in delivery.attempts.all()
        ]
        return _table(("When (UTC)", "Try", "Answer", "Took"), rows)

    @display(description="Context")
    def context_text(self, grant: Grant) -> SafeString:
        return format_html('<pre class="phoenix-json">{}</pre>', pretty(grant.context))

    # --- The list ------------------------------------------------------------------------------

    @display(description="Item", header=True)
    def item(self, grant: Grant) -> list[str]:
        return [self.name(grant), self.gives(grant)]

    @display(description="Player", ordering="player__external_id")
    def player_id_text(self, grant: Grant) -> str:
        return grant.player.external_id

    @display(description="Status", ordering="status", label=COLORS)
    def state(self, grant: Grant) -> tuple[str, str]:
        return grant.status, grant.get_status_display()

    @display(description="Source")
    def source(self, grant: Grant) -> str:
        return f"{grant.get_source_type_display()} {grant.source_id}"

    @display(description="Cost", ordering="cost")
    def cost_text(self, grant: Grant) -> str:
        return amount_text(grant.cost.normalize()) if grant.cost else "-"

    @display(description="Given (UTC)", ordering="created_at")
    def given(self, grant: Grant) -> str:
        return moment_text(grant.created_at)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str | SafeString:
    if not rows:
        return "None."
    head = format_html_join("", "<th>{}</th>", ((each,) for each in heads))
    cell = "<tr>" + "<td>{}</td>" * len(heads) + "</tr>"
    return format_html(_TABLE, head, format_html_join("", cell, rows))
