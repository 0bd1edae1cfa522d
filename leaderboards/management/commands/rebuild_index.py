from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from leaderboards.selectors.replays import chosen_windows_across_tenants
from leaderboards.services import index


class Command(BaseCommand):
    help = "Drop the rank index of open windows and fill it again; PostgreSQL answers meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="Only this tenant's boards.")
        parser.add_argument("--board", help="Only boards of this id.")
        parser.add_argument("--window", metavar="KEY", help="Only windows of this key.")

    def handle(self, *args: Any, **options: Any) -> None:
        windows = chosen_windows_across_tenants(
            tenant_id=options["tenant"],
            leaderboard_id=options["board"],
            key=options["window"],
            is_scored=True,
        )
        for window in windows:
            index.drop_index(window.pk)
            outcome = "rebuilt" if index.rebuild_index(window.pk) else "nothing to file"
            name = f"{window.tenant_id} {window.board.leaderboard_id} {window.key}"
            self.stdout.write(f"{name}: {outcome}")
