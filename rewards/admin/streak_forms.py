"""The form of a streak: a person's fields on one side, the document of the API on the other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from django import forms
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)
from phoenix_site.common.json_fields import JsonField
from phoenix_site.common.periods import WEEKDAYS
from phoenix_site.common.zones import zone_names
from rewards.exceptions import DocumentError
from rewards.models import RewardConfig, RewardItem, Streak
from rewards.services.streak_definitions import check_document
from rewards.types.streaks import PLAYER_ZONE

__all__ = ["MilestonesField", "StreakForm", "document_of", "initial_of"]

PERIODS: Final = (
    ("daily", "Every day"),
    ("weekly", "Every week"),
    ("monthly", "Every month"),
    ("hourly", "Every hour"),
    ("rolling", "Hours since the first event"),
)
MEASURES: Final = (
    ("count", "Number of events"),
    ("sum", "Sum of a field"),
    ("distinct", "Different values of a field"),
)
# Empty rows below the milestones that there are.
SPARE_ROWS: Final = 3
# Which field of the form shows a fault of which part of the document; the longest prefix counts.
FIELD_OF_PATH: Final[Mapping[str, str]] = {
    "name": "name",
    "description": "description",
    "config.event_types": "event_types",
    "config.expression": "expression",
    "config.window": "period",
    "config.window.timezone": "timezone",
    "config.window.reset_day": "reset_weekday",
    "config.window.reset_time": "reset_time",
    "config.window.hours": "hours",
    "config.condition.type": "measure",
    "config.condition.field": "field",
    "config.condition.min": "minimum",
    "config.milestones": "milestones",
    "config.reward_config_id": "reward_config",
    "config.at_risk_seconds": "at_risk_seconds",
    "config.late_seconds": "late_seconds",
    "config.freeze.max_held": "max_held",
    "config.freeze.per_break": "per_break",
}


class MilestonesWidget(forms.Widget):
    """Rows of a threshold, an item and whether it is given in every run; needs no JavaScript."""

    template_name = "phoenix/admin/milestones_widget.html"
    items: Sequence[tuple[str, str]] = ()

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        # Forms look for templates inside of apps only; this one lies with the project's others.
        rows = [*(value or []), *({} for _ in range(SPARE_ROWS))]
        context = {"name": name, "rows": list(enumerate(rows)), "items": self.items}
        return render_to_string(self.template_name, context)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, Any]]:
        numbers = range(_count(data.get(f"{name}-rows")))
        rows = (self._row(data, f"{name}-{number}") for number in numbers)
        return [row for row in rows if row["threshold"] or row["reward_item_ids"]]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-rows" not in data

    def _row(self, data: Any, prefix: str) -> dict[str, Any]:
        sent = str(data.get(f"{prefix}-threshold") or "").strip()
        items = [item for item in data.getlist(f"{prefix}-items") if item]
        return {
            "threshold": int(sent) if sent.isdecimal() and sent.isascii() else sent or None,
            "reward_item_ids": items,
            "repeatable": f"{prefix}-repeatable" in data,
        }


def _count(sent: Any) -> int:
    return min(int(sent), 300) if isinstance(sent, str) and sent.isdecimal() else 0


class MilestonesField(forms.Field):
    """The milestones of a streak as the document has them."""

    widget = MilestonesWidget


def _text(**attrs: str) -> forms.Widget:
    widget: forms.Widget = UnfoldAdminTextInputWidget(attrs=attrs)
    return widget


def _number(label: str, initial: int | None = None, help_text: str = "") -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        initial=initial,
        required=False,
        help_text=help_text,
        widget=_text(inputmode="numeric"),
    )


def _choice(label: str, choices: Iterable[Any], help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, choices=choices, help_text=help_text, widget=UnfoldAdminSelectWidget
    )


class StreakForm(forms.ModelForm[Streak]):
    """Everything of a streak in fields; ``document`` is what they say."""

    event_types = forms.CharField(
        label="Events that count",
        widget=_text(placeholder="user.login"),
        help_text="Types separated by commas; game.* means all that begin so.",
    )
    expression = JsonField(
        label="Only events that meet",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "class": "phoenix-mono"}),
        help_text='A condition, such as {"attrs.device": {"eq": "app"}}. Empty: all of them.',
    )
    measure = _choice("In each window is needed", MEASURES)
    field = forms.CharField(
        label="of", required=False, widget=_text(placeholder="attrs.amount"), help_text="A path."
    )
    minimum = forms.DecimalField(
        label="at least", initial=1, widget=_text(inputmode="decimal"), max_digits=26
    )
    period = _choice("A new window begins", PERIODS)
    timezone = forms.CharField(
        label="Time zone",
        initial="UTC",
        required=False,
        widget=_text(list="phoenix-timezones"),
        help_text=f"Such as Europe/Stockholm; {PLAYER_ZONE} is the zone of each player.",
    )
    reset_weekday = _choice("On", [(day, day.capitalize()) for day in WEEKDAYS])
    reset_monthday = _number("On day", 1, "1 to 28, so that every month has it.")
    reset_time = forms.CharField(
        label="At", initial="00:00", required=False, widget=_text(placeholder="HH:MM")
    )
    hours = _number("Hours", 24)
    milestones = MilestonesField(label="What is given at which length", required=False)
    reward_config = forms.ModelChoiceField(
        label="Reward config",
        queryset=RewardConfig.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="What its tiers give is given too.",
    )
    max_held = _number("Freezes held at most", None, "Empty: the streak has no freezes.")
    per_break = _number("In a row", 1, "So many missed windows in a row may be frozen.")
    at_risk_seconds = _number("At risk (seconds)", 3600, "Before the end of an open window.")
    late_seconds = _number("Late events (seconds)", 86400, "So long after its window one counts.")
    reason = forms.CharField(required=False, max_length=500, widget=_text())
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    # What there is to give, set by the page for the person who looks at it.
    items: ClassVar[Iterable[RewardItem]] = ()
    configs: ClassVar[Any] = RewardConfig.objects.none()

    class Meta:
        model = Streak
        fields = ["tenant", "name", "description"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The page shows fewer fields to who may only look.
        if "milestones" in self.fields:
            self._offer()
        if self.instance.config and not self.is_bound:
            self.initial.update(initial_of(self.instance.config))
            self.initial["expected_version"] = self.instance.version

    def _offer(self) -> None:
        choice: Any = self.fields["reward_config"]
        choice.queryset = self.configs
        items = list(self.items)
        has_several = len({item.tenant_id for item in items}) > 1
        widget: Any = self.fields["milestones"].widget
        widget.items = [
            (str(item.pk), f"{item.name} ({item.tenant_id})" if has_several else item.name)
            for item in items
        ]

    @property
    def zones(self) -> list[str]:
        """Return what the field of the time zone suggests."""
        return [PLAYER_ZONE, *sorted(zone_names())]

    def document(self) -> dict[str, Any]:
        """Return the form as the document that the API takes."""
        return {**document_of(self.cleaned_data), "status": self.instance.status}

    def clean(self) -> dict[str, Any]:
        """Check the document as the service does, and say each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        tenant = cleaned.get("tenant") or getattr(self.instance, "tenant", None)
        if tenant is None or self.errors:
            return cleaned
        try:
            check_document(tenant.pk, self.document())
        except DocumentError as exc:
            for fault in exc.faults:
                self.add_error(_field_of(fault.path, cleaned), _said(fault.path, fault.message))
        return cleaned

    def _post_clean(self) -> None:
        # The document was checked as a whole; the model's own checks would say less.
        return


def _field_of(path: str, cleaned: Mapping[str, Any]) -> str | None:
    fitting = [known for known in FIELD_OF_PATH if path == known or path.startswith(f"{known}.")]
    if not fitting:
        return None
    name = FIELD_OF_PATH[max(fitting, key=len)]
    is_monthly = name == "reset_weekday" and cleaned.get("period") == "monthly"
    return "reset_monthday" if is_monthly else name


def _said(path: str, message: str) -> str:
    steps = path.split(".")
    if "milestones" in steps and len(steps) > 2:
        part = {"reward_item_ids": "item"}.get(steps[3], steps[3]) if len(steps) > 3 else ""
        return f"Row {int(steps[2]) + 1}{', ' if part else ''}{part}: {message}."
    return f"{message[:1].upper()}{message[1:]}."


# --- Fields and document -------------------------------------------------------------------------


def initial_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields' values for a stored config."""
    window, condition, freeze = config["window"], config["condition"], config["freeze"] or {}
    reset_day = window.get("reset_day")
    return {
        "event_types": ", ".join(config["event_types"]),
        "expression": config["expression"],
        "measure": condition["type"],
        "field": condition.get("field", ""),
        "minimum": condition["min"],
        "period": window.get("period", "rolling"),
        "timezone": window.get("timezone", "UTC"),
        "reset_weekday": reset_day if isinstance(reset_day, str) else "monday",
        "reset_monthday": reset_day if isinstance(reset_day, int) else 1,
        "reset_time": window.get("reset_time", "00:00"),
        "hours": window.get("hours", 24),
        "milestones": [_milestone_row(each) for each in config["milestones"]],
        "reward_config": config["reward_config_id"],
        "max_held": freeze.get("max_held"),
        "per_break": freeze.get("per_break", 1),
        "at_risk_seconds": config["at_risk_seconds"],
        "late_seconds": config["late_seconds"],
    }


def _milestone_row(milestone: Mapping[str, Any]) -> dict[str, Any]:
    single = milestone.get("reward_item_id")
    items = milestone.get("reward_item_ids") or ([single] if single else [])
    return {**milestone, "reward_item_ids": items}


def document_of(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document that the fields describe."""
    types = str(cleaned.get("event_types") or "").replace("\n", ",").split(",")
    config_row = cleaned.get("reward_config")
    config = {
        "event_types": [name.strip() for name in types if name.strip()],
        "expression": cleaned.get("expression"),
        "window": _window(cleaned),
        "condition": _condition(cleaned),
        "milestones": cleaned.get("milestones") or [],
        "reward_config_id": None if config_row is None else str(config_row.pk),
        "freeze": _freeze(cleaned),
        "at_risk_seconds": cleaned.get("at_risk_seconds"),
        "late_seconds": cleaned.get("late_seconds"),
    }
    return {
        "name": cleaned.get("name"),
        "description": cleaned.get("description") or "",
        "config": config,
    }


def _window(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    period = cleaned.get("period")
    if period == "rolling":
        return {"type": "rolling", "hours": cleaned.get("hours")}
    window = {
        "type": "calendar",
        "period": period,
        "timezone": cleaned.get("timezone") or "UTC",
    }
    if period == "weekly":
        window["reset_day"] = cleaned.get("reset_weekday")
    if period == "monthly":
        window["reset_day"] = cleaned.get("reset_monthday") or 1
    if period != "hourly":
        window["reset_time"] = cleaned.get("reset_time") or "00:00"
    return window


def _condition(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    condition = {"type": cleaned.get("measure"), "min": cleaned.get("minimum")}
    if cleaned.get("measure") != "count":
        condition["field"] = cleaned.get("field") or None
    return condition


def _freeze(cleaned: Mapping[str, Any]) -> dict[str, Any] | None:
    if cleaned.get("max_held") is None:
        return None
    return {"max_held": cleaned["max_held"], "per_break": cleaned.get("per_break") or 1}
