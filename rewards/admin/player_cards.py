"""What a player has, for support: balances, what moved them, grants, goals, level, coupons."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from phoenix_site.common.admin import InfinitePaginator, ReadOnlyAdmin, display
from phoenix_site.common.exceptions import NotFoundError
from players.models import Player
from players.selectors import facts_of_players
from players.types import PlayerFacts
from rewards.admin.rule_words import plain
from rewards.admin.why_pages import why_url
from rewards.models import Ladder, Participant, Rule
from rewards.selectors import grants as grant_selectors
from rewards.selectors import ladders, wallets
from rewards.selectors.coupon_codes import codes_of_player
from rewards.selectors.grants import GrantFilter
from rewards.selectors.player_achievements import player_achievements
from rewards.selectors.player_streaks import user_streaks
from rewards.selectors.wallet_explanations import explanations
from rewards.types.wallets import TransactionFilter, TransactionView
from tenants.admin.scoped import TenantScopedAdmin, in_scope

SHOWN_ROWS: Final = 15
SHOWN_GOALS: Final = 30
MAX_RULES: Final = 500
GRANT_TONES: Final = {
    **dict.fromkeys(("granted", "activated"), "good"),
    **dict.fromkeys(("failed", "revoked", "expired"), "bad"),
}


@admin.register(Participant)
class ParticipantAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Players who have anything to do with rewards; the card of one is there for every player."""

    list_display = ["name", "tenant_id", "since"]
    list_filter = ["tenant"]
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ["-created_at", "-pk"]
    search_fields = ["player__external_id__startswith"]
    list_select_related = ["player"]
    actions = None

    @display(description="Player")
    def name(self, participant: Participant) -> str:
        return participant.player.external_id

    @display(description="Since (UTC)", ordering="created_at")
    def since(self, participant: Participant) -> str:
        return f"{participant.created_at:%d %b %Y, %H:%M:%S}"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponseBase:
        if object_id is None:
            raise PermissionDenied
        return self.card(request, object_id)

    def card(self, request: HttpRequest, player_id: str) -> HttpResponse:
        """Show what the player has; ``at`` asks for the balances of an instant."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        player = _find_player(request, player_id)
        now = timezone.now()
        at = _instant(request.GET.get("at", ""))
        facts = facts_of_players([player.pk], now=now)[player.pk]
        context = {
            **self.admin_site.each_context(request),
            "title": f"Rewards of {player.external_id}",
            "opts": self.opts,
            "player": player,
            "stops": _stops(facts),
            "asked_at": request.GET.get("at", ""),
            "is_unreadable": bool(request.GET.get("at")) and at is None,
            "balances": wallets.admin_balances(
                player.tenant_id, player.external_id, at=at, now=now
            ),
            "transactions": _transactions(player),
            "grants": _grants(player),
            "achievements": _achievements(player),
            "streaks": user_streaks(player.tenant_id, player.external_id, now=now)[:SHOWN_GOALS],
            "levels": _levels(player),
            "codes": codes_of_player(
                player.tenant_id, player.pk, limit=SHOWN_ROWS, offset=0, now=now
            ).items,
            "rules": Rule.objects.filter(tenant_id=player.tenant_id).order_by("name")[:MAX_RULES],
            "may_see_player": request.user.has_perm("players.view_player"),
            "may_ask_why": request.user.has_perm("rewards.view_rule"),
        }
        return TemplateResponse(request, "phoenix/admin/player_card.html", context)


def _find_player(request: HttpRequest, player_id: str) -> Player:
    try:
        key = UUID(player_id)
    except ValueError as exc:
        raise Http404 from exc
    player: Player | None = in_scope(Player.objects.all(), request, "tenant").filter(pk=key).first()
    if player is None:
        raise Http404
    return player


def _instant(text: str) -> datetime | None:
    """Return the time that was asked for, taken as UTC; ``None`` for none or no time."""
    try:
        found = parse_datetime(text.strip())
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _stops(facts: PlayerFacts) -> list[str]:
    """Return why the player gets nothing, if that is so."""
    found = []
    if facts.is_blocked("rewards"):
        scopes = ", ".join(sorted(facts.ban_scopes))
        found.append(f"Banned from {scopes}." if scopes else f"The account is {facts.status}.")
    if facts.is_opted_out:
        found.append("The player opted out of gamification.")
    return found


def _transactions(player: Player) -> list[dict[str, Any]]:
    asked = TransactionFilter(user_id=player.external_id)
    views = wallets.transactions(player.tenant_id, asked, limit=SHOWN_ROWS, offset=0).items
    said = explanations(views)
    return [
        {
            "view": view,
            "moves": [
                f"{'+' if line.amount > 0 else ''}{plain(line.amount)} {line.currency_id}"
                for line in _own_lines(view, player)
            ],
            "after": [
                plain(line.balance_after)
                for line in _own_lines(view, player)
                if line.balance_after is not None
            ],
            "text": said[view.id]["text"],
            "why": _why_of(said[view.id]),
            "url": reverse("admin:rewards_ledgertransaction_change", args=[view.id]),
        }
        for view in views
    ]


def _own_lines(view: TransactionView, player: Player) -> Sequence[Any]:
    return [
        line
        for line in view.postings
        if line.account_kind == "wallet" and line.user_id == player.external_id
    ]


def _why_of(said: dict[str, Any]) -> str:
    named = {key: said.get(f"{key}_id") for key in ("firing", "grant")}
    return why_url(**named) if any(named.values()) else ""


def _grants(player: Player) -> list[dict[str, Any]]:
    asked = GrantFilter(user_id=player.external_id)
    found = grant_selectors.grants_page(player.tenant_id, asked, limit=SHOWN_ROWS, offset=0)
    return [
        {
            "grant": grant,
            "name": grant.snapshot.get("name", ""),
            "tone": GRANT_TONES.get(grant.status, "warn"),
            "why": why_url(grant=grant.pk),
        }
        for grant in found.items
    ]


def _achievements(player: Player) -> list[Any]:
    found = player_achievements(
        player.tenant_id, player.external_id, status=None, limit=SHOWN_GOALS, offset=0
    )
    return sorted(found.items, key=lambda each: -each.percentage)


def _levels(player: Player) -> list[Any]:
    found = []
    for ladder in Ladder.objects.filter(tenant_id=player.tenant_id, is_active=True):
        try:
            step = ladders.player_step(player.tenant_id, player.external_id, ladder.ladder_id)
        except NotFoundError:
            # Archived between the two looks.
            continue
        found.append({"ladder": ladder, "step": step})
    return found
