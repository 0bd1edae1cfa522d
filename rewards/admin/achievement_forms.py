"""The forms of achievements: criteria in fields, and what staff are asked before they act."""

from collections.abc import Mapping
from typing import Any, Final

from django import forms

from phoenix_site.common.admin import (
    ReasonForm,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)
from phoenix_site.common.documents import plain_number
from phoenix_site.common.json_fields import JsonField
from phoenix_site.common.times import format_utc
from rewards.exceptions import DocumentError
from rewards.models import Achievement, Currency, RewardConfig, RewardItem, Streak
from rewards.rules.measures import MEASURE_KEYS
from rewards.services import achievements as services

__all__ = ["AchievementForm", "ApplyForm", "GrantForm", "PreviewForm"]

_TYPES: Final = (
    ("count", "Events"),
    ("sum", "The sum of a number in events"),
    ("distinct", "Different values in events"),
    ("cumulative", "What a player ever earned of a currency"),
    ("streak_milestone", "The count of a streak"),
    ("leaderboard_rank", "Windows of a board with a good rank"),
)
# What each type reads beside the threshold; the page hides the other fields.
READ_BY_TYPE: Final[Mapping[str, tuple[str, ...]]] = {
    "count": ("event_types", "conditions"),
    "sum": ("event_types", "conditions", "field"),
    "distinct": ("event_types", "conditions", "field"),
    "cumulative": ("metric",),
    "streak_milestone": ("streak_id",),
    "leaderboard_rank": ("leaderboard_id", "rank"),
}
_APPLY: Final = (
    ("", "The criteria do not change"),
    ("from_now", "From now on"),
    ("recompute", "From now on, and count anew afterwards"),
)


def _text(**attrs: str) -> forms.Widget:
    widget: forms.Widget = UnfoldAdminTextInputWidget(attrs=attrs)
    return widget


class AchievementForm(forms.ModelForm):  # type: ignore[type-arg]
    """An achievement in fields; ``document`` is what the API would take."""

    type = forms.ChoiceField(label="Counts", choices=_TYPES, widget=UnfoldAdminSelectWidget)
    event_types = forms.CharField(
        required=False,
        label="Event types",
        widget=_text(list="phoenix-event-types", placeholder="game.completed, bet.*"),
        help_text="Up to 20, with commas between. game.* means all that begin with game.",
    )
    conditions = JsonField(
        required=False,
        label="Only if",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "class": "phoenix-mono"}),
        help_text='A condition such as {"attrs.victory": {"eq": true}}. Empty: every event.',
    )
    field = forms.CharField(required=False, label="Path", widget=_text(placeholder="attrs.bet"))
    metric = forms.ChoiceField(required=False, label="Currency", widget=UnfoldAdminSelectWidget)
    streak_id = forms.ChoiceField(required=False, label="Streak", widget=UnfoldAdminSelectWidget)
    leaderboard_id = forms.CharField(required=False, label="Board", widget=_text())
    rank = forms.IntegerField(
        required=False, label="Rank or better", widget=_text(inputmode="numeric")
    )
    threshold = forms.DecimalField(label="Unlocks at", widget=_text(inputmode="decimal"))
    reward_items = forms.MultipleChoiceField(
        required=False,
        label="Gives",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="At every unlock, beside what the reward config has for the threshold.",
    )
    required_achievements = forms.MultipleChoiceField(
        required=False,
        label="Only after",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Progress counts before; the unlock waits.",
    )
    apply = forms.ChoiceField(
        required=False,
        label="Changed criteria hold",
        choices=_APPLY,
        widget=UnfoldAdminSelectWidget,
        help_text="Counting anew is previewed from the page afterwards.",
    )
    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=_text(),
        help_text="Why it changes; kept with the version.",
    )
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Achievement
        fields = [
            *("tenant", "name", "description", "badge_url", "reward_config"),
            *("is_repeatable", "is_hidden", "is_active", "sort"),
        ]
        labels = {
            "badge_url": "Badge image",
            "reward_config": "Reward config",
            "is_repeatable": "Can be unlocked again and again",
            "is_hidden": "Hidden until it is unlocked",
            "is_active": "Active",
            "sort": "Place in the list",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A ``name`` of the class would hide Django's own; these come with the rows.
        if not self.is_new:
            self.initial = {**_criteria_fields(self.instance), **self.initial}

    @property
    def is_new(self) -> bool:
        """Return whether the achievement has no row yet; its key says nothing about that."""
        return bool(self.instance._state.adding)  # noqa: SLF001 - there is no public name

    def offer(self, tenant_ids: frozenset[str] | None) -> None:
        """Offer what belongs to the achievement's tenant, or to any that the person works for."""
        seen = tenant_ids if self.is_new else {self.instance.tenant_id}

        def rows(model: Any, **wanted: Any) -> Any:
            found = model.objects.filter(**wanted).order_by("name")
            return found if seen is None else found.filter(tenant__in=seen)

        self._choose("reward_items", rows(RewardItem, is_active=True).values_list("pk", "name"))
        others = rows(Achievement).exclude(pk=self.instance.pk).values_list("pk", "name")
        self._choose("required_achievements", others)
        currencies = rows(Currency, is_active=True).values_list("currency_id", "name")
        self._choose("metric", [("", "-"), *currencies.distinct()])
        self._choose("streak_id", [("", "-"), *rows(Streak).values_list("pk", "name")])

    def _choose(self, name: str, choices: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - they are above
        field.choices = [(str(value), label) for value, label in choices]

    def document(self) -> dict[str, Any]:
        """Return the form as the document that the API takes."""
        sent = self.cleaned_data
        config: RewardConfig | None = sent.get("reward_config")
        return {
            "name": sent.get("name"),
            "description": sent.get("description", ""),
            "badge_url": sent.get("badge_url") or None,
            "criteria": self._criteria(),
            "reward_config_id": None if config is None else str(config.pk),
            "reward_item_ids": sent.get("reward_items", []),
            "active": sent.get("is_active", True),
            "repeatable": sent.get("is_repeatable", False),
            "hidden": sent.get("is_hidden", False),
            "requires": sent.get("required_achievements", []),
            "sort": sent.get("sort", 0),
            "apply": sent.get("apply") or None,
            "reason": sent.get("reason", ""),
            "version": sent.get("expected_version"),
        }

    def _criteria(self) -> dict[str, Any]:
        sent = self.cleaned_data
        chosen = sent.get("type", "")
        criteria: dict[str, Any] = {"type": chosen}
        for key in READ_BY_TYPE.get(chosen, ()):
            value = sent.get(key)
            if key == "event_types":
                value = [name.strip() for name in (value or "").split(",") if name.strip()]
            criteria[key] = value if value != "" else None
        criteria["threshold"] = sent.get("threshold")
        # What means the same as before stays as it was sent.
        if not self.is_new and _same(criteria, self.instance.measure):
            return dict(self.instance.criteria)
        return criteria

    def clean(self) -> dict[str, Any]:
        """Check the document as the service does, and say each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        tenant = cleaned.get("tenant") or getattr(self.instance, "tenant", None)
        if tenant is None or self.errors:
            return cleaned
        key = None if self.is_new else self.instance.pk
        try:
            services.read_document(tenant.pk, self.document(), key)
        except DocumentError as exc:
            for fault in exc.faults:
                name = _field_of(fault.path)
                self.add_error(name if name in self.fields else None, fault.message)
        return cleaned

    def _post_clean(self) -> None:
        # The document was checked as a whole; the model's own checks would say less.
        return


def _criteria_fields(row: Achievement) -> dict[str, Any]:
    measure = row.measure
    values = {key: measure.get(key) for key in ("type", *MEASURE_KEYS, "threshold")}
    values["event_types"] = ", ".join(measure.get("event_types", ()))
    return {
        **values,
        "reward_items": row.reward_item_ids,
        "required_achievements": row.requires,
        "expected_version": row.version,
    }


def _same(criteria: Mapping[str, Any], measure: Mapping[str, Any]) -> bool:
    threshold = criteria["threshold"]
    if threshold is None:
        return False
    return {**criteria, "threshold": plain_number(threshold)} == dict(measure)


_FIELDS: Final = {
    "reward_item_ids": "reward_items",
    "requires": "required_achievements",
    "reward_config_id": "reward_config",
    "active": "is_active",
}


def _field_of(path: str) -> str:
    """Return the field that shows a fault of this place of the document."""
    parts = path.removeprefix("criteria.").split(".")
    return _FIELDS.get(parts[0], parts[0])


class GrantForm(ReasonForm):
    """To whom an achievement is given."""

    user_id = forms.CharField(
        label="Player", max_length=128, widget=_text(), help_text="The tenant's id of the player."
    )


class PreviewForm(forms.Form):
    """From when on events are to be counted anew."""

    since = forms.DateTimeField(
        required=False,
        label="Leave out what occurred before (UTC)",
        widget=_text(placeholder="2026-11-18 12:00"),
        help_text="Empty: everything that is stored.",
    )

    def document(self) -> dict[str, Any]:
        """Return the form as the API takes it."""
        since = self.cleaned_data["since"]
        return {"mode": "preview", "from": None if since is None else format_utc(since)}


class ApplyForm(forms.Form):
    """What is to become of those who would not have reached it."""

    revoke = forms.BooleanField(
        required=False,
        label="Take it from those who lose it",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Their rewards are revoked, money as far as they still have it.",
    )
    result_hash = forms.CharField(widget=forms.HiddenInput)

    def document(self) -> dict[str, Any]:
        """Return the form as the API takes it."""
        sent = self.cleaned_data
        return {"mode": "apply", "result_hash": sent["result_hash"], "revoke": sent["revoke"]}
