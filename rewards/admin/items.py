"""Reward items: the library of what can be given, each with its payload in fields."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    Confirmation,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from rewards.admin.history import history_table
from rewards.admin.item_forms import ItemForm
from rewards.admin.item_words import amount_text, payload_text, use_list
from rewards.models import Coupon, Currency, RewardItem, Streak
from rewards.selectors import items as selectors
from rewards.selectors.uses import uses_of_item
from rewards.services import items as services
from tenants.admin.scoped import TenantScopedAdmin, in_scope, staff_actor

_MAX_OFFERED: Final = 500


@admin.register(RewardItem)
class RewardItemAdmin(TenantScopedAdmin):
    """The reward items of a tenant; every change goes through the service that the API uses."""

    form = ItemForm
    is_audited_by_service = True
    list_display = ["item", "tenant_id", "gives", "how", "costs", "state", "version"]
    list_filter = ["is_active", "reward_type", "claim", "tenant"]
    list_per_page = 50
    search_fields = ["name"]
    ordering = ["-created_at", "-pk"]
    show_full_result_count = False
    warn_unsaved_form = True
    actions = ["archive_selected"]
    actions_detail = ["duplicate"]
    conditional_fields = {
        "currency": "reward_type == 'currency'",
        "amount": "['currency', 'points', 'bonus_offer'].includes(reward_type)",
        "badge_id": "reward_type == 'badge'",
        "badge_tier": "reward_type == 'badge'",
        "item_key": "reward_type == 'item'",
        "quantity": "reward_type == 'item'",
        "bonus_offer_id": "reward_type == 'bonus_offer'",
        "bonus_currency": "reward_type == 'bonus_offer'",
        "coupon": "reward_type == 'coupon'",
        "streak": "reward_type == 'streak_freeze'",
        "freezes": "reward_type == 'streak_freeze'",
        "details": "reward_type == 'physical_item'",
        "claim_within_s": "claim == 'player'",
    }

    # --- The form ------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: RewardItem | None = None) -> Any:
        own: Any = [
            (None, {"fields": ["tenant", "name", "description", "image_url"]}),
            (
                "What is given",
                {
                    "fields": [
                        "reward_type",
                        *("currency", "amount", "badge_id", "badge_tier", "item_key", "quantity"),
                        *("bonus_offer_id", "bonus_currency", "coupon", "streak", "freezes"),
                        "details",
                    ]
                },
            ),
            ("How", {"fields": ["unit_cost", ("claim", "claim_within_s"), "is_active"]}),
        ]
        if obj is None:
            return own
        facts: Any = [
            ("Given by", {"fields": ["uses"]}),
            ("Versions", {"fields": ["history"]}),
        ]
        if not self.has_change_permission(request, obj):
            summary = ["tenant", "name", "description", "image_url", "gives", "how", "costs"]
            return [(None, {"fields": summary}), *facts]
        return [*own, ("This change", {"fields": ["reason", "expected_version"]}), *facts]

    def get_readonly_fields(self, request: HttpRequest, obj: RewardItem | None = None) -> Any:
        if obj is None:
            return []
        return ["tenant", "uses", "history", "gives", "how", "costs"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        fixed = self.get_readonly_fields(request, obj)
        kwargs["fields"] = [name for name in ItemForm.Meta.fields if name not in fixed]
        form = super().get_form(request, obj, *args, **kwargs)
        form.offered = self._offered(request, obj)
        return form

    def _offered(
        self, request: HttpRequest, item: RewardItem | None
    ) -> dict[str, list[tuple[str, str]]]:
        """Return the currencies, coupons and streaks that the item may name."""

        def rows(found: QuerySet[Any], key: str) -> list[tuple[str, str]]:
            scoped = in_scope(found, request, "tenant")
            if item is not None:
                scoped = scoped.filter(tenant_id=item.tenant_id)
            chosen = list(scoped.values_list(key, "name", "tenant_id")[:_MAX_OFFERED])
            has_several = len({tenant_id for _, _, tenant_id in chosen}) > 1
            return [
                (str(value), f"{name} ({tenant_id})" if has_several else name)
                for value, name, tenant_id in chosen
            ]

        currencies = rows(
            Currency.objects.filter(is_active=True).order_by("tenant_id", "currency_id"),
            "currency_id",
        )
        return {
            # Two tenants may have a currency of one id: the choice is of the id.
            "currency": list(dict(reversed(currencies)).items())[::-1],
            "coupon": rows(Coupon.objects.exclude(status="archived").order_by("name"), "pk"),
            "streak": rows(Streak.objects.exclude(status="archived").order_by("name"), "pk"),
        }

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra: Any = None
    ) -> Any:
        # The versions say more than Django's own history.
        context = {"show_history": False, "show_save_and_add_another": False, **(extra or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Items are archived: what was given stays known.
        return False

    def save_model(self, request: Any, obj: RewardItem, form: Any, change: Any) -> None:
        document, actor = form.document(), staff_actor(request)
        now, reason = timezone.now(), form.cleaned_data.get("reason", "")
        if change:
            document["version"] = form.cleaned_data.get("expected_version")
            saved = services.replace_item(
                obj.tenant_id, obj.pk, document, actor=actor, now=now, reason=reason
            )
        else:
            tenant_id = form.cleaned_data["tenant"].pk
            saved = services.create_item(tenant_id, document, actor=actor, now=now, reason=reason)
        obj.pk = saved.pk
        obj.refresh_from_db()

    # --- Actions -------------------------------------------------------------------------------

    def has_copy_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may make a copy: who may make a new one."""
        return bool(self.has_add_permission(request))

    @action(description="Duplicate", permissions=["copy"], icon="content_copy")
    def duplicate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        item: RewardItem | None = self.get_object(request, object_id)
        if item is None or not self.has_view_permission(request, item):
            raise Http404
        page = reverse("admin:rewards_rewarditem_change", args=[item.pk])
        if not is_confirmed(request):
            asked = Confirmation(
                title=f"Duplicate {item.name}",
                lead="Makes a reward item of its own with the same fields.",
                submit="Duplicate",
            )
            return confirmation_page(self, request, asked, back_url=page)
        try:
            copy = services.duplicate_item(
                item.tenant_id, item.pk, {}, actor=staff_actor(request), now=timezone.now()
            )
        except DomainError as exc:
            say_refusal(self, request, item, exc)
            return redirect(page)
        self.message_user(request, f"This is a copy of {item}.", messages.SUCCESS)
        return redirect(reverse("admin:rewards_rewarditem_change", args=[copy.pk]))

    @admin.action(description="Archive selected items", permissions=["change"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[RewardItem]) -> None:
        for item in queryset:
            try:
                services.archive_item(
                    item.tenant_id, item.pk, actor=staff_actor(request), now=timezone.now()
                )
            except DomainError as exc:
                say_refusal(self, request, item, exc)
            else:
                self.message_user(request, f"Archived {item}.", messages.SUCCESS)

    # --- What is shown -------------------------------------------------------------------------

    @display(description="Item", ordering="name", header=True)
    def item(self, item: RewardItem) -> list[str]:
        return [item.name, item.get_reward_type_display()]

    @display(description="Gives")
    def gives(self, item: RewardItem) -> str:
        return payload_text(item.reward_type, item.payload)

    @display(description="Claimed")
    def how(self, item: RewardItem) -> str:
        if item.claim == RewardItem.Giving.AUTOMATIC:
            return "at once"
        within = item.claim_within_s
        return "by the player" if within is None else f"by the player, within {within:,} s"

    @display(description="Costs", ordering="unit_cost")
    def costs(self, item: RewardItem) -> str:
        return amount_text(item.unit_cost.normalize()) if item.unit_cost else "-"

    @display(description="Status", ordering="is_active", label={True: "success", False: "danger"})
    def state(self, item: RewardItem) -> tuple[bool, str]:
        return item.is_active, "Active" if item.is_active else "Archived"

    @display(description="Given by")
    def uses(self, item: RewardItem) -> SafeString | str:
        return use_list(uses_of_item(item.tenant_id, item.pk))

    @display(description="History")
    def history(self, item: RewardItem) -> SafeString:
        return history_table(selectors.item_versions(item.tenant_id, item.pk))
