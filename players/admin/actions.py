"""The actions of the players' page: each asks on a page of its own, then calls a service."""

from collections.abc import Sequence
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    ActionVariant,
    Confirmation,
    action,
    confirmation_page,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from players import selectors
from players.admin import works
from players.admin.works import Work
from players.models import Player
from tenants.admin.scoped import staff_actor

LIST: Final = "admin:players_player_changelist"
MAY_CHANGE: Final = "players.change_player"
MAX_CHOSEN: Final = 1000
SHOWN_ROWS: Final = 50


class PlayerActions:
    """What staff may do on the players' page, beside its list and card."""

    # What the page that this is mixed into has.
    get_object: Any
    message_user: Any
    admin_site: Any
    opts: Any

    def has_manage_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may act on players from who may only look at them."""
        return bool(request.user.has_perm(MAY_CHANGE))

    @action(description="Ban", permissions=["manage"], icon="block", variant=ActionVariant.DANGER)
    def ban(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, works.BAN)

    @action(description="Lift bans", permissions=["manage"], icon="lock_open")
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, works.LIFT)

    @action(description="Set time zone", permissions=["manage"], icon="public")
    def set_zone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, works.SET_ZONE)

    @action(description="Opt out of gamification", permissions=["manage"], icon="logout")
    def opt_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, works.OPT_OUT)

    @action(description="Opt in to gamification", permissions=["manage"], icon="login")
    def opt_in(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, works.OPT_IN)

    @action(description="Set tag", permissions=["manage"], icon="sell")
    def set_tag(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, works.TAG)

    @action(description="Remove tag", permissions=["manage"], icon="label_off")
    def remove_tag(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, works.UNTAG)

    @action(description="Ban selected players", permissions=["manage"])
    def ban_selected(self, request: HttpRequest, queryset: QuerySet[Player]) -> HttpResponse | None:
        return self._work_on_each(request, queryset, works.BAN)

    @action(description="Lift bans of selected players", permissions=["manage"])
    def lift_selected(
        self, request: HttpRequest, queryset: QuerySet[Player]
    ) -> HttpResponse | None:
        return self._work_on_each(request, queryset, works.LIFT)

    @action(description="Set tag of selected players", permissions=["manage"])
    def tag_selected(self, request: HttpRequest, queryset: QuerySet[Player]) -> HttpResponse | None:
        return self._work_on_each(request, queryset, works.TAG)

    @action(description="Remove tag from selected players", permissions=["manage"])
    def untag_selected(
        self, request: HttpRequest, queryset: QuerySet[Player]
    ) -> HttpResponse | None:
        return self._work_on_each(request, queryset, works.UNTAG)

    def _work_on(self, request: HttpRequest, object_id: str, work: Work) -> HttpResponse:
        player: Player | None = self.get_object(request, object_id)
        if player is None:
            return redirect(LIST)
        card = reverse("admin:players_player_change", args=[player.pk])
        return self._ask_or_do(request, [player], work, back_url=card) or redirect(card)

    def _work_on_each(
        self, request: HttpRequest, queryset: QuerySet[Player], work: Work
    ) -> HttpResponse | None:
        players = list(queryset.order_by("external_id")[: MAX_CHOSEN + 1])
        if len(players) > MAX_CHOSEN:
            self.message_user(request, f"Choose at most {MAX_CHOSEN} at a time.", messages.ERROR)
            return None
        return self._ask_or_do(
            request, players, work, back_url=reverse(LIST), selected=[p.pk for p in players]
        )

    def _ask_or_do(
        self,
        request: HttpRequest,
        players: Sequence[Player],
        work: Work,
        *,
        back_url: str,
        selected: Sequence[object] = (),
    ) -> HttpResponse | None:
        """Ask, then do it to one player after the other; ``None`` when it is done."""
        form = work.form(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            asked = _confirmation(players, work)
            return confirmation_page(
                self, request, asked, back_url=back_url, form=form, selected=selected
            )
        done = [player for player in players if self._do(request, player, work, form)]
        if done:
            names = str(done[0]) if len(done) == 1 else f"{len(done)} players"
            self.message_user(request, f"{work.done} {names}.", messages.SUCCESS)
        return None

    def _do(self, request: HttpRequest, player: Player, work: Work, form: forms.Form) -> bool:
        try:
            work.run(player, form.cleaned_data, staff_actor(request), timezone.now())
        except DomainError as exc:
            say_refusal(self, request, player, exc)
            return False
        return True


def _confirmation(players: Sequence[Player], work: Work) -> Confirmation:
    shown = players[:SHOWN_ROWS]
    facts = selectors.facts_of_players([player.pk for player in shown], now=timezone.now())
    rows: list[Sequence[object]] = [
        (
            player.external_id,
            player.tenant_id,
            player.get_status_display(),
            ", ".join(sorted(facts[player.pk].ban_scopes)) or "-",
        )
        for player in shown
    ]
    if len(players) > len(rows):
        rows.append((f"and {len(players) - len(rows):,} more", "", "", ""))
    return Confirmation(
        title=work.title,
        lead=work.lead,
        submit=work.title,
        heads=["Player", "Tenant", "Status", "Banned from"],
        rows=rows,
        is_dangerous=work.is_dangerous,
    )
