"""What staff do to players: each asks on a page of its own and then calls a service."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django import forms
from django.core.validators import RegexValidator

from phoenix_site.common.admin import (
    ReasonForm,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)
from phoenix_site.common.zones import zone_names
from players.constants import BAN_SCOPES, MAX_TAG_VALUE_CHARACTERS, SLUG_PATTERN
from players.models import Player
from players.services import bans, profiles, tags
from players.types import TagInput
from tenants.types import Actor

_SCOPE_LABELS: Final[Mapping[str, str]] = {
    "all": "Everything",
    "rewards": "Rewards",
    "leaderboards": "Leaderboards",
    "tournaments": "Tournaments",
    "messages": "Messages",
}


def _moment_field(label: str) -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-12-31 18:00"}),
        help_text="In UTC. Empty: without an end.",
    )


def _tag_field() -> forms.CharField:
    return forms.CharField(
        label="Tag",
        max_length=64,
        validators=[RegexValidator(SLUG_PATTERN, "Use letters, digits, - and _.")],
        widget=UnfoldAdminTextInputWidget(),
    )


class BanForm(ReasonForm):
    scopes = forms.MultipleChoiceField(
        label="Kept from",
        choices=[(scope, _SCOPE_LABELS[scope]) for scope in BAN_SCOPES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
    until = _moment_field("Until")
    field_order = ["scopes", "until", "reason"]


class ZoneForm(ReasonForm):
    timezone = forms.ChoiceField(
        label="Time zone", required=False, choices=[], widget=UnfoldAdminSelectWidget()
    )
    field_order = ["timezone", "reason"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        zones = [(name, name) for name in sorted(zone_names())]
        field = self.fields["timezone"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = [("", "The tenant's zone"), *zones]


class OptOutForm(forms.Form):
    reasons = forms.CharField(
        label="Reasons",
        max_length=5000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One per line, at least one.",
    )


class TagForm(forms.Form):
    name = _tag_field()
    value = forms.CharField(
        label="Value",
        required=False,
        max_length=MAX_TAG_VALUE_CHARACTERS,
        widget=UnfoldAdminTextInputWidget(),
    )
    expires_at = _moment_field("Until")


class UntagForm(forms.Form):
    name = _tag_field()


Answers = Mapping[str, Any]
Run = Callable[[Player, Answers, Actor, datetime], object]


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked, what the page says of it, and the service that does it.

    ``done`` is said of each player afterwards.
    """

    title: str
    lead: str
    done: str
    run: Run
    form: type[forms.Form] = ReasonForm
    is_dangerous: bool = False


def _ban(player: Player, answers: Answers, actor: Actor, now: datetime) -> None:
    bans.ban(
        player.pk,
        scopes=answers["scopes"],
        reason=answers["reason"],
        until=answers["until"],
        actor=actor,
        now=now,
    )


def _lift(player: Player, answers: Answers, actor: Actor, now: datetime) -> None:
    bans.lift_all(player.pk, reason=answers["reason"], actor=actor, now=now)


def _opt_out(player: Player, answers: Answers, actor: Actor, now: datetime) -> None:
    reasons: Sequence[str] = answers["reasons"].splitlines()
    profiles.set_gamification(player.pk, enabled=False, reasons=reasons, actor=actor, now=now)


def _opt_in(player: Player, answers: Answers, actor: Actor, now: datetime) -> None:
    reasons = [answers["reason"]]
    profiles.set_gamification(player.pk, enabled=True, reasons=reasons, actor=actor, now=now)


def _set_zone(player: Player, answers: Answers, actor: Actor, now: datetime) -> None:
    profiles.set_timezone(
        player.pk, timezone=answers["timezone"], actor=actor, now=now, reason=answers["reason"]
    )


def _tag(player: Player, answers: Answers, actor: Actor, now: datetime) -> None:
    tag = TagInput(answers["name"], answers["value"], answers["expires_at"])
    tags.change_tags(player.pk, add=[tag], actor=actor, now=now)


def _untag(player: Player, answers: Answers, actor: Actor, now: datetime) -> None:
    tags.change_tags(player.pk, remove=[answers["name"]], actor=actor, now=now)


BAN: Final = Work(
    "Ban",
    "Their events are still kept. Whoever is banned from rewards gets nothing and may claim "
    "nothing; what they have stays theirs.",
    "Banned",
    _ban,
    BanForm,
    is_dangerous=True,
)
LIFT: Final = Work("Lift bans", "Every ban that is in force ends now.", "Lifted the bans of", _lift)
OPT_OUT: Final = Work(
    "Opt out of gamification",
    "They stop earning and scoring. Balances stay.",
    "Opted out",
    _opt_out,
    OptOutForm,
)
OPT_IN: Final = Work(
    "Opt in to gamification", "They earn and score again from now on.", "Opted in", _opt_in
)
SET_ZONE: Final = Work(
    "Set time zone",
    "Days and weeks of the player follow the zone from now on; what occurred before keeps the "
    "zone of its time.",
    "Set the time zone of",
    _set_zone,
    ZoneForm,
)
TAG: Final = Work(
    "Set tag", "A tag that the player has gets the new value and end.", "Tagged", _tag, TagForm
)
UNTAG: Final = Work("Remove tag", "Nothing else changes.", "Took the tag from", _untag, UntagForm)
