"""What staff do with grants: each action asks on a page of its own, then calls a service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    ActionVariant,
    Confirmation,
    ReasonForm,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
    action,
    confirmation_page,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from rewards.models import Grant, RewardItem
from rewards.services import claims
from rewards.services import grants as services
from tenants.admin.scoped import in_scope, staff_actor
from tenants.types import Actor

LIST: Final = "admin:rewards_grant_changelist"
MAX_CHOSEN: Final = 500
SHOWN_ROWS: Final = 50


class RevokeForm(ReasonForm):
    """Why it is taken back, and what if the money is spent."""

    clip = forms.BooleanField(
        required=False,
        label="Take what is left, if the wallet has too little",
        widget=UnfoldBooleanSwitchWidget,
    )


class GiveForm(ReasonForm):
    """What is given to whom."""

    item = forms.ModelChoiceField(
        RewardItem.objects.none(), label="Reward item", widget=UnfoldAdminSelectWidget
    )
    user_id = forms.CharField(
        label="Player",
        max_length=128,
        widget=UnfoldAdminTextInputWidget,
        help_text="The tenant's id of the player, who is made if nobody knows it yet.",
    )
    field_order = ["item", "user_id", "reason"]

    def __init__(self, *args: Any, items: QuerySet[RewardItem], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["item"]
        field.queryset = items
        field.label_from_instance = lambda item: f"{item.name} ({item.tenant_id})"


@dataclass(frozen=True, slots=True)
class Work:
    """What staff do with grants: the page that asks, and the service that does it."""

    title: str
    done: str
    lead: str
    run: Callable[[Grant, dict[str, Any], Actor, datetime], Grant]
    form: type[ReasonForm] = ReasonForm
    is_dangerous: bool = False


def _claim(grant: Grant, sent: dict[str, Any], actor: Actor, now: datetime) -> Grant:
    return claims.claim_grant(
        grant.tenant_id,
        grant.pk,
        user_id=None,
        now=now,
        actor=actor.label,
        reason=sent["reason"],
    )


def _revoke(grant: Grant, sent: dict[str, Any], actor: Actor, now: datetime) -> Grant:
    return services.revoke_grant(grant.tenant_id, grant.pk, actor=actor, now=now, **sent)


def _retry(grant: Grant, sent: dict[str, Any], actor: Actor, now: datetime) -> Grant:
    return services.retry_grant(grant.tenant_id, grant.pk, actor=actor, now=now, **sent)


def _fulfill(grant: Grant, sent: dict[str, Any], actor: Actor, now: datetime) -> Grant:
    return services.fulfill_grant(grant.tenant_id, grant.pk, actor=actor, now=now, **sent)


CLAIM: Final = Work(
    "Claim", "Claimed", "Claims it in the place of the player, who then has it.", _claim
)
REVOKE: Final = Work(
    "Revoke",
    "Revoked",
    "Takes it back: money is reversed, badges, things and unused codes are taken away.",
    _revoke,
    RevokeForm,
    is_dangerous=True,
)
RETRY: Final = Work("Retry", "Trying again", "Delivers it again after it failed.", _retry)
FULFILL: Final = Work(
    "Fulfill",
    "Fulfilled",
    "Says that it has been delivered by hand, such as sent by post.",
    _fulfill,
)


class GrantActions:
    """What staff may do on the page of grants, beside its list and its card."""

    # What the page that this is mixed into has.
    get_object: Any
    has_view_permission: Any
    message_user: Any
    admin_site: Any
    opts: Any

    # --- Who may do what -----------------------------------------------------------------------

    def has_give_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may give rewards by hand."""
        return bool(request.user.has_perm("rewards.add_grant"))

    def has_manage_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may claim, retry and fulfill."""
        return bool(request.user.has_perm("rewards.change_grant"))

    def has_revoke_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may take back what was given."""
        return bool(request.user.has_perm("rewards.delete_grant"))

    # --- Actions -------------------------------------------------------------------------------

    @action(description="Give a reward", permissions=["give"], icon="redeem")
    def give(self, request: HttpRequest) -> HttpResponse:
        items = in_scope(RewardItem.objects.filter(is_active=True), request, "tenant")
        sent = request.POST if is_confirmed(request) else None
        form = GiveForm(sent, items=items.order_by("tenant_id", "name"))
        if form.is_valid():
            grant = self._give(request, form)
            if grant is not None:
                return redirect(reverse("admin:rewards_grant_change", args=[grant.pk]))
        asked = Confirmation(
            title="Give a reward",
            lead="What it is of is delivered at once, or waits for the player, as the item says.",
            submit="Give",
        )
        return confirmation_page(self, request, asked, back_url=reverse(LIST), form=form)

    def _give(self, request: HttpRequest, form: GiveForm) -> Grant | None:
        item: RewardItem = form.cleaned_data["item"]
        user_id = form.cleaned_data["user_id"]
        try:
            given = services.give_item(
                item.tenant_id,
                user_id=user_id,
                item_id=item.pk,
                reason=form.cleaned_data["reason"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, item, exc)
            return None
        self.message_user(request, f"Gave {item} to {user_id}.", messages.SUCCESS)
        return given.grant

    @action(description="Claim", permissions=["manage"], icon="task_alt")
    def claim(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, CLAIM)

    @action(description="Revoke", permissions=["revoke"], icon="undo", variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, REVOKE)

    @action(description="Retry", permissions=["manage"], icon="refresh")
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, RETRY)

    @action(description="Fulfill", permissions=["manage"], icon="local_shipping")
    def fulfill(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._work_on(request, object_id, FULFILL)

    @action(description="Claim selected grants", permissions=["manage"])
    def claim_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self._work_on_each(request, queryset, CLAIM)

    @action(description="Revoke selected grants", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self._work_on_each(request, queryset, REVOKE)

    @action(description="Retry selected grants", permissions=["manage"])
    def retry_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self._work_on_each(request, queryset, RETRY)

    @action(description="Fulfill selected grants", permissions=["manage"])
    def fulfill_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return self._work_on_each(request, queryset, FULFILL)

    def _work_on(self, request: HttpRequest, object_id: str, work: Work) -> HttpResponse:
        grant: Grant | None = self.get_object(request, object_id)
        if grant is None or not self.has_view_permission(request, grant):
            raise Http404
        card = reverse("admin:rewards_grant_change", args=[grant.pk])
        return self._ask_or_do(request, [grant], work, back_url=card) or redirect(card)

    def _work_on_each(
        self, request: HttpRequest, queryset: QuerySet[Grant], work: Work
    ) -> HttpResponse | None:
        grants = list(queryset.select_related("player")[: MAX_CHOSEN + 1])
        if len(grants) > MAX_CHOSEN:
            self.message_user(request, f"Choose at most {MAX_CHOSEN} at a time.", messages.ERROR)
            return None
        chosen = [grant.pk for grant in grants]
        return self._ask_or_do(request, grants, work, back_url=reverse(LIST), selected=chosen)

    def _ask_or_do(
        self,
        request: HttpRequest,
        grants: Sequence[Grant],
        work: Work,
        *,
        back_url: str,
        selected: Sequence[object] = (),
    ) -> HttpResponse | None:
        """Ask, then do it to one grant after the other; ``None`` when it is done."""
        form = work.form(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            asked = _confirmation(grants, work)
            return confirmation_page(
                self, request, asked, back_url=back_url, form=form, selected=selected
            )
        done = [grant for grant in grants if self._do(request, grant, work, form.cleaned_data)]
        if done:
            names = str(done[0].snapshot["name"]) if len(done) == 1 else f"{len(done)} grants"
            self.message_user(request, f"{work.done}: {names}.", messages.SUCCESS)
        return None

    def _do(self, request: HttpRequest, grant: Grant, work: Work, sent: dict[str, Any]) -> bool:
        try:
            work.run(grant, sent, staff_actor(request), timezone.now())
        except DomainError as exc:
            say_refusal(self, request, grant, exc)
            return False
        return True


def _confirmation(grants: Sequence[Grant], work: Work) -> Confirmation:
    rows: list[Sequence[object]] = [
        (
            grant.snapshot.get("name", ""),
            grant.player.external_id,
            grant.tenant_id,
            grant.get_status_display(),
            moment_text(grant.created_at),
        )
        for grant in grants[:SHOWN_ROWS]
    ]
    if len(grants) > len(rows):
        rows.append((f"and {len(grants) - len(rows):,} more", "", "", "", ""))
    return Confirmation(
        title=work.title,
        lead=work.lead,
        submit=work.title,
        heads=["Item", "Player", "Tenant", "Status", "Given (UTC)"],
        rows=rows,
        is_dangerous=work.is_dangerous,
    )


def moment_text(value: datetime) -> str:
    """Return an instant for people, in UTC."""
    return f"{value:%d %b %Y, %H:%M:%S}"
