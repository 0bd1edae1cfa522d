from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from phoenix_site.statics import collect_when_changed


class Command(BaseCommand):
    help = "Do what must be done before a start: check, migrate, seed, collect static files."
    # One process for all of it: each would need a second only to get ready.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sandbox", action="store_true", help="Seed the sandbox tenants.")

    def handle(self, *_args: Any, **options: Any) -> None:
        if settings.PHOENIX_ENV == "prod":
            call_command("check", deploy=True, fail_level="ERROR")
        call_command("migrate", interactive=False, verbosity=0)
        if options["sandbox"]:
            call_command("seed_sandbox", json=True)
        collect_when_changed()
