"""The rule form: a person's fields on one side, the document of the API on the other."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)
from phoenix_site.common.exceptions import Detail, DomainError
from phoenix_site.common.json_fields import JsonField, pretty
from rewards.admin.rule_fields import document_of, field_of, initial_of, said_of
from rewards.constants import AMOUNT_DIGITS, PLATFORM_EVENTS
from rewards.exceptions import DocumentError
from rewards.models import Rule
from rewards.rules.event_fields import PLATFORM_FIELDS
from rewards.rules.meaning import EVENT_WORDS
from rewards.rules.rule_documents import ParsedRule, parse_rule
from rewards.services import rules as services

__all__ = ["NEW_RULE", "RuleForm"]

NEW_RULE: Final[Mapping[str, Any]] = {
    "trigger": {"type": "event", "names": []},
    "conditions": {},
    "effects": [],
    "priority": 0,
}
KINDS: Final = (("reward", "Reward rule"), ("earning", "Earning rule: one credit, nothing else"))
TRIGGERS: Final = (
    ("event", "Events that your systems send"),
    ("platform", "Events of Phoenix itself"),
)
MODES: Final = (
    ("all", "All that pass fire"),
    ("first", "Only the one with the highest priority"),
    ("best", "Only the one that costs most"),
)


class EditorWidget(forms.Widget):
    """JSON text that scripts turn into an editor; ``editor`` is which one."""

    template_name = "phoenix/admin/rule_editor.html"

    def __init__(self, editor: str, *, label: str, rows: int = 8) -> None:
        super().__init__()
        self.editor, self.label, self.rows = editor, label, rows

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        # Forms look for templates inside of apps only; this one lies with the project's others.
        return render_to_string(self.template_name, self.get_context(name, value, attrs))

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        return context | {"editor": self.editor, "label": self.label, "rows": self.rows}


def _text(**attrs: str) -> forms.Widget:
    widget: forms.Widget = UnfoldAdminTextInputWidget(attrs=attrs)
    return widget


def _whole(label: str, help_text: str = "", **options: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        widget=_text(inputmode="numeric"),
        help_text=help_text,
        **options,
    )


def _number(label: str, help_text: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        max_digits=AMOUNT_DIGITS,
        widget=_text(inputmode="decimal"),
        help_text=help_text,
    )


def _moment(label: str, help_text: str) -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label,
        required=False,
        widget=_text(placeholder="2026-12-01 00:00"),
        help_text=help_text,
    )


def _choice(label: str, choices: Iterable[Any], help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, choices=choices, help_text=help_text, widget=UnfoldAdminSelectWidget
    )


def _platform_choices() -> list[tuple[str, str]]:
    """Return the platform events that are about a player, each with what it tells."""
    return [
        (name, f"{name}: {EVENT_WORDS.get(name, name)} ({_attributes(name)})")
        for name, has_player in PLATFORM_EVENTS.items()
        if has_player
    ]


def _attributes(name: str) -> str:
    fields = [attribute for attribute, _ in PLATFORM_FIELDS.get(name, ())]
    return ", ".join(fields) or "no attributes"


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Everything of a rule in fields; cleaning makes ``document``, the rule they describe.

    ``parsed`` is the rule where the document is valid, ``warnings`` what is odd about it;
    ``details`` are its faults with their places in the document.
    """

    kind = _choice("Kind", KINDS)
    trigger_type = _choice("It listens to", TRIGGERS)
    event_names = JsonField(
        label="Event types",
        required=False,
        widget=EditorWidget("names", label="Event types as JSON", rows=2),
        help_text="1 to 20. A type may end in .* for everything below it, such as game.*.",
    )
    platform_names = forms.MultipleChoiceField(
        label="What happened",
        required=False,
        choices=_platform_choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    conditions = JsonField(
        label="Conditions",
        required=False,
        widget=EditorWidget("conditions", label="Conditions as JSON"),
        help_text="Without any, every event of these types counts.",
    )
    effects = JsonField(
        label="Effects",
        required=False,
        widget=EditorWidget("effects", label="Effects as JSON"),
        help_text="All of them happen together, or none.",
    )
    per_player_day = _whole("Times a day")
    per_player_week = _whole("Times a week")
    per_player_total = _whole("Times ever")
    amount_event = _number("Credited at most for one event", "Credits above a cap are cut to it.")
    amount_day = _number("Credited at most a day")
    amount_week = _number("Credited at most a week")
    budget_firings = _whole("Budget: firings", "Over all players and all time.")
    budget_cost = _number("Budget: cost", "In the tenant's base currency; empty: no limit.")
    group_name = forms.CharField(
        label="Group",
        required=False,
        max_length=64,
        widget=_text(placeholder="win-bonuses"),
        help_text="Rules of one group are in each other's way. Empty: in no group.",
    )
    group_mode = _choice("Of the group", MODES)
    priority = _whole("Priority", "Higher first; then by id.", initial=0)
    timezone = forms.CharField(
        label="Time zone",
        required=False,
        widget=_text(list="phoenix-timezones"),
        help_text="Days, weeks and now.* follow this clock. Empty: the tenant's.",
    )
    starts_at = _moment("From (UTC)", "Counts what occurs from then on.")
    ends_at = _moment("To (UTC)", "Counts what occurs before then.")
    # The version that the form was filled from, so that nobody overwrites what they have not seen.
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    use_json = forms.BooleanField(
        label="Save the JSON instead of the fields",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="With JavaScript both sides follow each other and this switch is not needed.",
    )
    document_json = JsonField(
        label="Rule as JSON",
        required=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 24, "class": "phoenix-mono", "spellcheck": "false"}
        ),
        help_text="As the API takes it. Change it here and the fields follow, and the other way.",
    )

    # What the service said when this very form was to be saved.
    refusal: DomainError | None = None
    document: Mapping[str, Any] = {}
    # The newest document of the rule; ``None`` for a new one.
    stored: Mapping[str, Any] | None = None
    parsed: ParsedRule | None = None
    warnings: list[str] = []
    details: list[Detail] = []

    class Meta:
        model = Rule
        fields = ["tenant", "rule_id", "name", "kind"]

    class Media:
        js = [
            "phoenix/rule_nodes.js",
            "phoenix/rule_conditions.js",
            "phoenix/rule_effects.js",
            "phoenix/rule_form.js",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance: Rule | None = kwargs.get("instance")
        document: Mapping[str, Any] = NEW_RULE
        known: dict[str, Any] = {}
        if instance is not None and instance.pk and instance.version:
            version = instance.versions.filter(number=instance.version).first()
            if version is not None:
                document = self.stored = version.document
                known["expected_version"] = instance.version
        known |= initial_of(document) | {"document_json": pretty(document)}
        kwargs["initial"] = known | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)

    @property
    def is_platform(self) -> bool:
        """Whether the trigger is an event of Phoenix itself."""
        return bool(self.data.get(self.add_prefix("trigger_type")) == "platform")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("use_json"):
            self.document = self._from_json(cleaned)
        else:
            self.document = document_of(self._with_fixed(cleaned), stored=self.stored)
        self._check()
        if self.refusal is not None:
            self.add_faults(self.refusal.details or [Detail("", self.refusal.message)])
        return cleaned

    def _from_json(self, cleaned: Mapping[str, Any]) -> Mapping[str, Any]:
        document = cleaned.get("document_json")
        # Names come from the document then: what the fields beside it lack is no fault.
        for name in ("rule_id", "name", "kind"):
            self.errors.pop(name, None)
        if not isinstance(document, Mapping):
            self.add_error("document_json", "This must be an object, the document of a rule.")
            return {}
        return {**document, **self._fixed()}

    def _get_validation_exclusions(self) -> set[str]:
        # The service checks the whole document, and the database that ids are given once.
        return {field.name for field in Rule._meta.get_fields()}

    def _with_fixed(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return {**cleaned, **self._fixed()}

    def _fixed(self) -> dict[str, Any]:
        """Return what a rule that exists keeps for ever."""
        if self.stored is None:
            return {}
        return {"rule_id": self.instance.rule_id, "kind": self.instance.kind}

    def _check(self) -> None:
        try:
            self.parsed, self.warnings = self._parse()
        except DocumentError as exc:
            self.details = list(exc.details)
            self.add_faults(self.details)

    def _parse(self) -> tuple[ParsedRule, list[str]]:
        tenant = self.instance.tenant_id or self._chosen_tenant()
        if tenant is None:
            return parse_rule(self.document), []
        rule = None if self.stored is None else self.instance
        return services.validate(tenant, self.document, rule=rule)

    def _chosen_tenant(self) -> str | None:
        tenant = self.cleaned_data.get("tenant")
        return None if tenant is None else str(tenant.pk)

    def add_faults(self, details: Iterable[Detail]) -> None:
        """Show each fault at the field it is about, or above the form.

        A field that already has a fault of its own is left with it.
        """
        for detail in details:
            name = self._field_of(detail.field)
            if name is None or name not in self.errors or name in ("conditions", "effects"):
                self.add_error(name, ValidationError(said_of(detail)))

    def _field_of(self, path: str) -> str | None:
        if self.cleaned_data.get("use_json"):
            return "document_json"
        name = field_of(path, is_platform=self.is_platform)
        return name if name in self.fields else None
