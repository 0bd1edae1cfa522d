from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from leaderboards.models import Window
from leaderboards.rules.scores import format_scaled
from leaderboards.selectors import boards
from leaderboards.selectors.replays import chosen_windows_across_tenants
from leaderboards.services import rebuilds
from leaderboards.services.rebuilds import Rebuild
from phoenix_site.common.exceptions import DomainError
from tenants.services import audit

MAX_SHOWN = 100


class Command(BaseCommand):
    help = (
        "Compute an open window anew under its board's newest config from all its events, also "
        "those before the board was active. Shows who gains and loses; writes only with --apply."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True)
        parser.add_argument("--board", required=True, help="The leaderboard_id.")
        parser.add_argument("--window", required=True, metavar="KEY")
        parser.add_argument("--apply", action="store_true", help="Write what is shown otherwise.")
        parser.add_argument("--reason", default="", help="Goes to the audit log; with --apply.")

    def handle(self, *args: Any, **options: Any) -> None:
        window = self._find_window(options)
        try:
            rebuild = self._rebuild(window, options)
        except DomainError as exc:
            raise CommandError(f"{exc.message} ({exc.code})") from exc
        self._show(rebuild)
        done = "Applied." if options["apply"] else "Nothing is written; --apply --reason writes it."
        self.stdout.write(self.style.SUCCESS(done))

    def _find_window(self, options: dict[str, Any]) -> Window:
        windows = chosen_windows_across_tenants(
            tenant_id=options["tenant"], leaderboard_id=options["board"], key=options["window"]
        )
        if not windows:
            raise CommandError("There is no such window.")
        return windows[0]

    def _rebuild(self, window: Window, options: dict[str, Any]) -> Rebuild:
        now = timezone.now()
        if not options["apply"]:
            return rebuilds.preview_rebuild(window.pk, now=now)
        return rebuilds.rebuild_with_history(
            window.pk, actor=audit.SYSTEM, reason=options["reason"], now=now
        )

    def _show(self, rebuild: Rebuild) -> None:
        window = rebuild.window
        config = boards.config_of_version(window.board_id, window.version_number)
        decimals = config.scoring.decimals
        counts = ", ".join(
            f"{count} {what}" for what, count in sorted(rebuild.event_counts.items())
        )
        self.stdout.write(f"Events: {counts or 'none'}. Entries: {rebuild.entry_count}.")
        for change in rebuild.changes[:MAX_SHOWN]:
            before, after = (
                "no entry" if score is None else format_scaled(score, decimals)
                for score in (change.before, change.after)
            )
            self.stdout.write(f"  {change.user_id}: {before} → {after}")
        if len(rebuild.changes) > MAX_SHOWN:
            self.stdout.write(f"  … and {len(rebuild.changes) - MAX_SHOWN} more")
        self.stdout.write(f"{len(rebuild.changes)} scores change.")
