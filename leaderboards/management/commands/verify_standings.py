from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from leaderboards.selectors.replays import chosen_windows_across_tenants
from leaderboards.services import proofs
from leaderboards.services.proofs import Proof


class Command(BaseCommand):
    help = "Score the log again and compare it with entries, rank index, frozen standings and hash."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="Only this tenant's boards.")
        parser.add_argument("--board", help="Only boards of this id.")
        parser.add_argument("--window", metavar="KEY", help="Only windows of this key.")

    def handle(self, *args: Any, **options: Any) -> None:
        windows = chosen_windows_across_tenants(
            tenant_id=options["tenant"], leaderboard_id=options["board"], key=options["window"]
        )
        difference_count = 0
        for window in windows:
            proof = proofs.verify_window(window.pk, now=timezone.now())
            self._show(proof)
            difference_count += len(proof.differences)
        if difference_count:
            raise CommandError(f"{difference_count} differences in {len(windows)} windows.")
        self.stdout.write(self.style.SUCCESS(f"{len(windows)} windows are as the log says."))

    def _show(self, proof: Proof) -> None:
        window = proof.window
        name = f"{window.tenant_id} {window.board.leaderboard_id} {window.key}"
        if proof.skipped:
            self.stdout.write(f"{name}: not verified, {proof.skipped}")
            return
        index = ", index equal" if proof.has_index and not proof.differences else ""
        counts = ", ".join(f"{count} {what}" for what, count in sorted(proof.event_counts.items()))
        self.stdout.write(
            f"{name} ({window.state}): {proof.entry_count} entries from {counts or 'no'} events"
            f"{index}"
        )
        for difference in proof.differences:
            self.stdout.write(self.style.ERROR(f"  {difference}"))
