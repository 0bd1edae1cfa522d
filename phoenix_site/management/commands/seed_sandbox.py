import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from phoenix_site import seeding

REFUSED = 2


class Command(BaseCommand):
    help = "Create or repair the sandbox tenants, their board and credentials, and print them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the document as JSON.")
        parser.add_argument(
            "--reset",
            action="store_true",
            help="First empty the sandbox's events and everything that came of them.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PHOENIX_ENV != "sandbox":
            self.stderr.write(
                "The sandbox is not seeded: PHOENIX_ENV is prod, and its credentials are public."
            )
            sys.exit(REFUSED)
        document = seeding.seed_sandbox(now=timezone.now(), is_reset=options["reset"])
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=2))
            return
        self._describe(document)

    def _describe(self, document: dict[str, Any]) -> None:
        tokens = document["tokens"]
        rows = {
            "tenant": document["tenant_id"],
            "tenant secret": document["tenant_secret"],
            "API key": document["admin_api_key"],
            "board": document["leaderboard_id"],
            "staff login": f"{document['staff']['username']} / {document['staff']['password']}",
            "tenant JWT (1 h)": tokens["tenant_jwt"],
            "admin JWT (1 h)": tokens["admin_jwt"],
        }
        for name, value in rows.items():
            self.stdout.write(f"{name:17} {value}")
