"""What staff may do to a window: rebuild its index or its entries, and have it proven."""

from collections.abc import Sequence
from typing import Any, Final

from django.contrib import messages
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from leaderboards.models import Entry, Window
from leaderboards.rules.scores import from_scaled
from leaderboards.selectors import activity
from leaderboards.selectors import boards as board_selectors
from leaderboards.services import index, proofs, rebuilds
from leaderboards.services.rebuilds import Rebuild
from phoenix_site.common.admin import (
    Confirmation,
    ReasonForm,
    action,
    confirmation_page,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.redis import RedisError
from tenants.admin.scoped import staff_actor

MAY_CHANGE: Final = "leaderboards.change_leaderboard"
SHOWN_CHANGES: Final = 50
# A browser waits for the answer; what takes longer than that is a command's work.
MAX_EVENTS: Final = 200_000


class WindowActions:
    """The actions of the windows' page, beside its lists and facts."""

    # What the page that this is mixed into has.
    get_window: Any
    message_user: Any
    admin_site: Any
    opts: Any

    def has_rebuild_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may act on windows from who may only look at them."""
        # Not named in the actions: the theme's system check would look it up in the database,
        # and no command would run on one that is not migrated yet.
        return bool(request.user.has_perm(MAY_CHANGE))

    @action(description="Rebuild index", permissions=["rebuild"], icon="refresh")
    def rebuild_index(self, request: HttpRequest, object_id: str) -> HttpResponse:
        window = self.get_window(request, object_id)
        if not is_confirmed(request):
            asked = _index_confirmation(window)
            return confirmation_page(self, request, asked, back_url=window_url(window))
        try:
            is_built = index.rebuild_index(window.pk)
        except RedisError as exc:
            text = f"Redis cannot be reached ({type(exc).__name__})."
            self.message_user(request, text, messages.ERROR)
        else:
            text = "is rebuilt" if is_built else "needs nothing: no entries, or being built"
            self.message_user(request, f"The index of {window.key} {text}.", messages.SUCCESS)
        return redirect(window_url(window))

    @action(description="Rebuild entries", permissions=["rebuild"], icon="restart_alt")
    def rebuild_entries(self, request: HttpRequest, object_id: str) -> HttpResponse:
        window = self.get_window(request, object_id)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        try:
            if form.is_valid():
                return self._rebuild_entries(request, window, form.cleaned_data["reason"])
            _check_size(window)
            preview = rebuilds.preview_rebuild(window.pk, now=timezone.now())
        except DomainError as exc:
            say_refusal(self, request, window.key, exc)
            return redirect(window_url(window))
        asked = _rebuild_confirmation(window, preview)
        return confirmation_page(self, request, asked, back_url=window_url(window), form=form)

    def _rebuild_entries(self, request: HttpRequest, window: Window, reason: str) -> HttpResponse:
        done = rebuilds.rebuild_with_history(
            window.pk, actor=staff_actor(request), reason=reason, now=timezone.now()
        )
        text = f"{window.key} is scored anew: {len(done.changes)} scores changed."
        self.message_user(request, text, messages.SUCCESS)
        return redirect(window_url(window))

    @action(description="Verify", permissions=["view"], icon="verified")
    def verify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        window = self.get_window(request, object_id)
        try:
            _check_size(window)
        except DomainError as exc:
            say_refusal(self, request, window.key, exc)
            return redirect(window_url(window))
        proof = proofs.verify_window(window.pk, now=timezone.now())
        context = {
            **self.admin_site.each_context(request),
            "title": f"Proof of {window.key}",
            "opts": self.opts,
            "window": window,
            "proof": proof,
            "event_counts": sorted(proof.event_counts.items()),
            "shown": proof.differences[:SHOWN_CHANGES],
            "more": max(0, len(proof.differences) - SHOWN_CHANGES),
            "back_url": window_url(window),
        }
        return TemplateResponse(request, "phoenix/admin/proof.html", context)


def window_url(window: Window) -> str:
    """Return the page of the window."""
    return reverse("admin:leaderboards_window_change", args=[window.pk])


def _check_size(window: Window) -> None:
    """Refuse what would keep a browser waiting. Raises: ``DomainError``."""
    counted = Entry.objects.filter(window=window).aggregate(events=Sum("event_count"))["events"]
    if (counted or 0) > MAX_EVENTS:
        raise DomainError(
            f"It has more than {MAX_EVENTS:,} events, too many for this page. Use the commands "
            "verify_standings and rebuild_standings of manage.py."
        )


def _index_confirmation(window: Window) -> Confirmation:
    return Confirmation(
        title=f"Rebuild the rank index of {window.board.name}, {window.key}",
        lead="The index is filled again from the entries and takes the place of the present one. "
        "Ranks stay the same; live pages start afresh.",
        submit="Rebuild index",
        facts=[
            ("State", window.get_state_display()),
            ("Players now", activity.player_counts([window])[window.pk]),
        ],
    )


def _rebuild_confirmation(window: Window, preview: Rebuild) -> Confirmation:
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(preview.event_counts.items()))
    return Confirmation(
        title=f"Rebuild the entries of {window.board.name}, {window.key}",
        lead="Every event of the window is scored anew under the board's newest config, also those "
        "that came before the board was active. Scoring of all boards waits meanwhile.",
        submit="Rebuild entries",
        facts=[
            ("Events", counts or "none"),
            ("Entries afterwards", f"{preview.entry_count:,}"),
            ("Scores that change", f"{len(preview.changes):,}"),
        ],
        heads=["Player", "Score now", "Afterwards"],
        rows=_change_rows(window, preview),
        empty="No score changes.",
        is_dangerous=bool(preview.changes),
    )


def _change_rows(window: Window, preview: Rebuild) -> list[Sequence[object]]:
    newest = preview.window.version_number
    before, after = (
        board_selectors.config_of_version(window.board_id, number).scoring.decimals
        for number in (window.version_number, newest)
    )
    rows: list[Sequence[object]] = [
        (change.user_id, _score(change.before, before), _score(change.after, after))
        for change in preview.changes[:SHOWN_CHANGES]
    ]
    if len(preview.changes) > SHOWN_CHANGES:
        rows.append((f"and {len(preview.changes) - SHOWN_CHANGES:,} more", "", ""))
    return rows


def _score(scaled: int | None, decimals: int) -> str:
    return "no entry" if scaled is None else f"{from_scaled(scaled, decimals):,f}"
