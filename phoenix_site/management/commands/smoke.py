import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from phoenix_site.smoke import SmokeTest, SmokeTestError


class Command(BaseCommand):
    help = "Run the smoke test against a running sandbox, step by step."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--sandbox",
            type=Path,
            default=settings.PHOENIX_DATA_DIR / "sandbox.json",
            help="The document that seed_sandbox wrote (default: %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["sandbox"]
        if not path.exists():
            raise CommandError(f"{path} does not exist: start Phoenix with `make run` first.")
        try:
            for step in SmokeTest(json.loads(path.read_text())).run():
                self.stdout.write(
                    f"{self.style.SUCCESS('ok')}  {step.milliseconds:7.1f} ms  "
                    f"{step.name}: {step.outcome}"
                )
        except SmokeTestError as exc:
            raise CommandError(f"FAILED: {exc}") from exc
        self.stdout.write(self.style.SUCCESS("Phoenix works."))
