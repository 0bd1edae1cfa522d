from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from rewards.services import proofs
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Compare every balance, lot, hold, firing and grant with the postings; keep the proof."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="Only this tenant's ledger.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = Tenant.objects.order_by("pk").values_list("pk", flat=True)
        chosen = [pk for pk in tenants if options["tenant"] in (None, pk)]
        if not chosen:
            raise CommandError("There is no such tenant.")
        difference_count = 0
        for tenant_id in chosen:
            proof = proofs.prove(tenant_id, timezone.now())
            postings = sum(counts["postings"] for counts in proof.counts.values())
            self.stdout.write(f"{tenant_id}: proof {proof.number}, {postings} postings")
            for difference in proof.differences:
                self.stdout.write(self.style.ERROR(f"  {difference}"))
            difference_count += proof.difference_count
        if difference_count:
            raise CommandError(f"{difference_count} differences in {len(chosen)} ledgers.")
        self.stdout.write(self.style.SUCCESS(f"{len(chosen)} ledgers are as their postings say."))
