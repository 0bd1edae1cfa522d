"""The board form: a person's fields on one side, the config document of the API on the other."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from leaderboards.exceptions import ConfigError
from leaderboards.models import Leaderboard
from leaderboards.rules.boards import find_id_faults, find_value_faults
from leaderboards.rules.configuration import parse_config
from phoenix_site.common.admin import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)
from phoenix_site.common.exceptions import Detail, DomainError, InvalidJsonError
from phoenix_site.common.json import decode, encode
from phoenix_site.common.json_fields import JsonField, pretty
from phoenix_site.common.times import format_utc
from phoenix_site.common.zones import zone_names

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TYPES = (
    ("weekly", "Weekly"),
    ("daily", "Daily"),
    ("hourly", "Hourly"),
    ("monthly", "Monthly"),
    ("custom", "Fixed dates"),
    ("all_time", "All time"),
)
AGGREGATIONS = (
    ("sum", "Sum of points"),
    ("max", "Best single result (largest)"),
    ("min", "Best single result (smallest)"),
    ("last", "Latest result"),
    ("count", "Number of events"),
    ("avg", "Average of points"),
)
TIE_POLICIES = (
    ("first_to_reach", "Whoever was first: 1, 2, 3, 4"),
    ("shared", "Shared rank, then a gap: 1, 2, 2, 4"),
    ("dense", "Shared rank, no gap: 1, 2, 2, 3"),
)
# Which field of the form shows a fault of which part of the document; the longest prefix counts.
FIELD_OF_PATH = {
    "leaderboard_id": "leaderboard_id",
    "name": "name",
    "description": "description",
    "reward_config_id": "reward_config_id",
    "config.scope": "scope",
    "config.timeframe.type": "timeframe_type",
    "config.timeframe.timezone": "timezone",
    "config.timeframe.reset_day": "reset_weekday",
    "config.timeframe.reset_time": "reset_time",
    "config.timeframe.start_at": "start_at",
    "config.timeframe.end_at": "end_at",
    "config.timeframe.grace_seconds": "grace_seconds",
    "config.scoring.rules": "rules",
    "config.scoring.match": "match",
    "config.scoring.aggregation": "aggregation",
    "config.scoring.decimals": "decimals",
    "config.scoring.limits.max_points_per_event": "max_points_per_event",
    "config.scoring.limits.max_points_per_window": "max_points_per_window",
    "config.scoring.limits.max_events_per_window": "max_events_per_window",
    "config.ranking.method": "method",
    "config.ranking.tie_policy": "tie_policy",
    "config.ranking.size": "size",
    "config.ranking.min_score": "min_score",
    "config.ranking.max_score": "max_score",
    "config.snapshots.every_seconds": "snapshot_every_seconds",
    "config.snapshots.top": "snapshot_top",
}
NEW_RULES = [{"event_type": "game.completed", "points_expression": "attrs.score"}]
RULE_PARTS = {
    "event_type": ", event type",
    "points_expression": ", points",
    "conditions": ", condition",
}
_is_rule_path = re.compile(
    r"config\.scoring\.rules\.(?P<number>\d+)(?:\.(?P<part>\w+))?.*"
).fullmatch


class RulesWidget(forms.Widget):
    """Rows of event type, points and condition; JavaScript keeps them in one JSON field."""

    template_name = "phoenix/admin/rules_widget.html"

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        # Forms look for templates inside of apps only; this one lies with the project's others.
        return render_to_string(self.template_name, self.get_context(name, value, attrs))

    def format_value(self, value: Any) -> str:
        return value if isinstance(value, str) else pretty(value or NEW_RULES)

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["rows"] = _rule_rows(context["widget"]["value"])
        return context


def _rule_rows(text: str) -> list[dict[str, str]] | None:
    """Return what the rows show, ``None`` when the text is not a list of rules."""
    try:
        rules = decode(text)
    except InvalidJsonError:
        return None
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        return None
    return [
        {
            name: value if isinstance(value, str) else encode(value).decode()
            for name, value in rule.items()
            if value is not None
        }
        for rule in rules
    ]


def _text(**attrs: str) -> forms.Widget:
    widget: forms.Widget = UnfoldAdminTextInputWidget(attrs=attrs)
    return widget


def _number(label: str, *, help_text: str, **options: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        help_text=help_text,
        required=False,
        widget=_text(inputmode="decimal"),
        **options,
    )


def _choice(label: str, choices: Iterable[Any], help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, choices=choices, help_text=help_text, widget=UnfoldAdminSelectWidget
    )


class BoardForm(forms.ModelForm[Leaderboard]):
    """Everything of a board in fields; cleaning makes ``document``, the config they describe."""

    reward_config_id = forms.ChoiceField(
        label="Prizes",
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="The reward config that pays the places of every window that closes.",
    )
    rules = JsonField(
        label="Which events count, and for how many points",
        widget=RulesWidget,
        help_text="Points: numbers, + - * /, and paths such as attrs.score or attrs.bet * 0.5. "
        'Only if: a condition such as {"attrs.mode": {"in": ["ranked"]}}; empty means always.',
    )
    match = _choice(
        "If several rules match",
        [("all", "Add the points of all of them"), ("first", "Only the first one counts")],
    )
    aggregation = _choice("A player's score is", AGGREGATIONS)
    decimals = forms.IntegerField(
        label="Decimals",
        min_value=0,
        max_value=6,
        initial=0,
        widget=_text(inputmode="numeric"),
        help_text="0 to 6. Points are rounded half to even for each event.",
    )
    max_points_per_event = _number("At most per event", help_text="Points above it are cut.")
    max_points_per_window = _number(
        "At most per window", help_text="Only with a sum: further points are cut."
    )
    max_events_per_window = _number(
        "Events per window", help_text="Later events of a player do not count.", decimal_places=0
    )
    scope = JsonField(
        label="Only events that meet",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "class": "phoenix-mono"}),
        help_text='A condition over the whole event, such as {"actor.metadata.region": '
        '{"eq": "eu"}}. Empty: every event that a rule names.',
    )
    timeframe_type = _choice("A new window begins", TYPES)
    timezone = forms.CharField(
        label="Time zone",
        initial="UTC",
        widget=_text(list="phoenix-timezones"),
        help_text="The clock on the wall that decides, such as Europe/Stockholm.",
    )
    reset_weekday = _choice("On", [(day, day.capitalize()) for day in WEEKDAYS])
    reset_monthday = forms.IntegerField(
        label="On day",
        min_value=1,
        max_value=28,
        initial=1,
        required=False,
        widget=_text(inputmode="numeric"),
        help_text="1 to 28, so that every month has it.",
    )
    reset_time = forms.CharField(
        label="At", initial="00:00", required=False, widget=_text(placeholder="HH:MM")
    )
    start_at = forms.DateTimeField(
        label="From (UTC)", required=False, widget=_text(placeholder="2026-12-01 00:00")
    )
    end_at = forms.DateTimeField(
        label="To (UTC)", required=False, widget=_text(placeholder="2026-12-31 00:00")
    )
    grace_seconds = forms.IntegerField(
        label="Grace (seconds)",
        initial=300,
        min_value=0,
        max_value=604_800,
        widget=_text(inputmode="numeric"),
        help_text="How long after a window's end its events may still arrive.",
    )
    method = _choice(
        "Best is", [("score_desc", "the highest score"), ("score_asc", "the lowest score")]
    )
    tie_policy = _choice(
        "Equal scores", TIE_POLICIES, "The numbers are the ranks of the scores 50, 40, 40, 30."
    )
    size = forms.IntegerField(
        label="Places",
        initial=1000,
        min_value=1,
        max_value=1_000_000,
        widget=_text(inputmode="numeric"),
        help_text="How far lists, snapshots and prizes reach.",
    )
    min_score = _number("Ranked from score", help_text="Lower scores are kept and not ranked.")
    max_score = _number("Ranked up to score", help_text="Higher scores are kept and not ranked.")
    snapshot_every_seconds = forms.IntegerField(
        label="Every (seconds)",
        initial=3600,
        min_value=0,
        max_value=86_400,
        widget=_text(inputmode="numeric"),
        help_text="0: never; otherwise 300 to 86 400.",
    )
    snapshot_top = forms.IntegerField(
        label="Places kept",
        initial=100,
        min_value=1,
        max_value=1000,
        widget=_text(inputmode="numeric"),
    )
    recompute = forms.BooleanField(
        label="Apply to the open window at once",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Scores it anew from the event log. Otherwise changed rules begin with the next "
        "window, once the open one has entries.",
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=500,
        widget=_text(placeholder="Why this change"),
        help_text="Kept in the audit log.",
    )
    # The version that the form was filled from, so that nobody overwrites what they have not seen.
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    use_json = forms.BooleanField(
        label="Save the JSON instead of the fields",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="For those who have the document already: what stands in the JSON counts.",
    )
    config_json = JsonField(
        label="Config as JSON",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 24, "class": "phoenix-mono"}),
        help_text="Follows the fields while you type.",
    )

    # What the service said when this very form was to be saved.
    refusal: DomainError | None = None
    document: Mapping[str, Any] = {}
    # Reward configs that the person may choose, by id.
    prizes: Sequence[tuple[str, str]] = ()

    class Meta:
        model = Leaderboard
        fields = ["tenant", "leaderboard_id", "name", "description"]

    class Media:
        js = ["phoenix/board_form.js"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance: Leaderboard | None = kwargs.get("instance")
        config = instance.config if instance and instance.pk else None
        if instance is not None and config is not None:
            known = initial_of(config) | {
                "expected_version": instance.version,
                "reward_config_id": instance.reward_config_id or "",
            }
            kwargs["initial"] = known | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)
        prizes: Any = self.fields["reward_config_id"]
        prizes.choices = [("", "None"), *self.prizes]

    def clean_leaderboard_id(self) -> str:
        value: str = self.cleaned_data["leaderboard_id"]
        faults = find_id_faults({"leaderboard_id": value})
        if faults:
            raise ValidationError([said_of(Detail(each.path, each.message)) for each in faults])
        return value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("use_json") and cleaned.get("config_json") is None:
            self.add_error("config_json", "Paste the document here, or save the fields.")
        self.document = _document_of(cleaned)
        self.add_faults(_faults_of(self.document))
        if self.refusal is not None:
            self.add_faults(self.refusal.details or [Detail("", self.refusal.message)])
        return cleaned

    def add_faults(self, details: Iterable[Detail]) -> None:
        """Show each fault at the field it is about, or above the form.

        A field that already has a fault of its own is left with it.
        """
        for detail in details:
            name = self._field_of(detail.field)
            if name is None or name not in self.errors or name == "rules":
                self.add_error(name, said_of(detail))

    def _field_of(self, path: str) -> str | None:
        if self.data.get(self.add_prefix("use_json")) and path.startswith("config"):
            return "config_json"
        name = field_of(path, is_monthly=self.cleaned_data.get("timeframe_type") == "monthly")
        return name if name in self.fields else None


def _document_of(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config as far as the fields that can be read tell it."""
    if not cleaned.get("use_json"):
        return config_of(cleaned)
    document = cleaned.get("config_json")
    return document if isinstance(document, dict) else {}


def _faults_of(config: Mapping[str, Any]) -> list[Detail]:
    faults = find_value_faults({"config": config})
    if faults:
        return [Detail(fault.path, fault.message) for fault in faults]
    try:
        parse_config(config)
    except ConfigError as exc:
        return list(exc.details)
    return []


def field_of(path: str, *, is_monthly: bool = False) -> str | None:
    """Return the form's field for a path of the document, or ``None``."""
    fitting = [known for known in FIELD_OF_PATH if path == known or path.startswith(f"{known}.")]
    if not fitting:
        return None
    name = FIELD_OF_PATH[max(fitting, key=len)]
    return "reset_monthday" if is_monthly and name == "reset_weekday" else name


def label_of(path: str) -> str:
    """Return what the form calls the part of a config at ``path``."""
    name = field_of(f"config.{path}")
    return path if name is None else f"“{BoardForm.base_fields[name].label}”"


def said_of(detail: Detail) -> str:
    """Return a fault as a sentence about the form, not about the document."""
    rule = _is_rule_path(detail.field)
    if rule is not None:
        part = RULE_PARTS.get(rule["part"] or "", "")
        return f"Rule {int(rule['number']) + 1}{part}: {detail.message}."
    message = f"{detail.message[:1].upper()}{detail.message[1:].rstrip('.')}."
    is_known = not detail.field or field_of(detail.field) is not None
    return message if is_known else f"{detail.field}: {detail.message}."


def config_of(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config document that the fields describe; what is missing is left out."""
    config: dict[str, Any] = {
        "timeframe": _timeframe_of(cleaned),
        "scoring": _scoring_of(cleaned),
        "ranking": _chosen(cleaned, "method", "tie_policy", "size", "min_score", "max_score"),
        "snapshots": _without_none(
            {
                "every_seconds": cleaned.get("snapshot_every_seconds"),
                "top": cleaned.get("snapshot_top"),
            }
        ),
    }
    if cleaned.get("scope") is not None:
        config["scope"] = {"filters": cleaned["scope"]}
    return config


def _timeframe_of(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    kind = cleaned.get("timeframe_type")
    timeframe: dict[str, Any] = {
        "type": kind,
        "timezone": cleaned.get("timezone"),
        "grace_seconds": cleaned.get("grace_seconds"),
    }
    if kind == "weekly":
        timeframe["reset_day"] = cleaned.get("reset_weekday")
    elif kind == "monthly":
        timeframe["reset_day"] = cleaned.get("reset_monthday") or 1
    if kind in {"daily", "weekly", "monthly"}:
        timeframe["reset_time"] = cleaned.get("reset_time") or "00:00"
    if kind == "custom":
        for name in ("start_at", "end_at"):
            moment: datetime | None = cleaned.get(name)
            timeframe[name] = format_utc(moment.astimezone(UTC)) if moment else None
    return _without_none(timeframe)


def _scoring_of(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    scoring = _chosen(cleaned, "rules", "match", "aggregation", "decimals")
    events = cleaned.get("max_events_per_window")
    limits = _without_none(
        {
            "max_points_per_event": cleaned.get("max_points_per_event"),
            "max_points_per_window": cleaned.get("max_points_per_window"),
            "max_events_per_window": int(events) if events is not None else None,
        }
    )
    if limits:
        scoring["limits"] = limits
    return scoring


def _chosen(cleaned: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return _without_none({name: cleaned.get(name) for name in names})


def _without_none(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None}


def initial_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields' values for a stored config document."""
    timeframe, scoring = config["timeframe"], config["scoring"]
    ranking, snapshots = config.get("ranking", {}), config.get("snapshots", {})
    reset_day = timeframe.get("reset_day")
    limits = scoring.get("limits") or {}
    return {
        "rules": scoring["rules"],
        "match": scoring.get("match", "all"),
        "aggregation": scoring.get("aggregation", "sum"),
        "decimals": scoring.get("decimals", 0),
        **{name: limits.get(name) for name in LIMIT_NAMES},
        "scope": (config.get("scope") or {}).get("filters"),
        "timeframe_type": timeframe["type"],
        "timezone": timeframe.get("timezone", "UTC"),
        "reset_weekday": reset_day if isinstance(reset_day, str) else "monday",
        "reset_monthday": reset_day if isinstance(reset_day, int) else 1,
        "reset_time": timeframe.get("reset_time") or "00:00",
        "start_at": _moment(timeframe.get("start_at")),
        "end_at": _moment(timeframe.get("end_at")),
        "grace_seconds": timeframe.get("grace_seconds", 300),
        "method": ranking.get("method", "score_desc"),
        "tie_policy": ranking.get("tie_policy", "first_to_reach"),
        "size": ranking.get("size", 1000),
        "min_score": _decimal(ranking.get("min_score")),
        "max_score": _decimal(ranking.get("max_score")),
        "snapshot_every_seconds": snapshots.get("every_seconds", 3600),
        "snapshot_top": snapshots.get("top", 100),
        "config_json": pretty(config),
    }


LIMIT_NAMES = ("max_points_per_event", "max_points_per_window", "max_events_per_window")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def timezone_names() -> list[str]:
    """Return the zones to offer, without the old aliases that have no region."""
    return sorted(name for name in zone_names() if "/" in name or name == "UTC")
