import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from phoenix_site.runtime import phoenix, programs


class Command(BaseCommand):
    help = (
        "Start everything: servers (private ones unless DATABASE_URL and REDIS_URL are set), "
        "web processes, workers and beat. Stays in the foreground."
    )
    # The children check the system; here it would only delay the start.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="Address to listen on (default: %(default)s)."
        )
        parser.add_argument(
            "--port",
            type=int,
            default=os.environ.get("PHOENIX_PORT", "8000"),
            help="Port to listen on; 0 takes a free one (default: PHOENIX_PORT or 8000).",
        )
        parser.add_argument(
            "--workers",
            type=int,
            default=programs.default_web_count(),
            help="Number of web processes (default: %(default)s).",
        )
        parser.add_argument(
            "--no-sandbox", action="store_true", help="Do not seed the sandbox tenant."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["workers"] < 1:
            raise CommandError("--workers must be at least 1.", returncode=2)
        has_sandbox = settings.PHOENIX_ENV == "sandbox" and not options["no_sandbox"]
        sys.exit(
            phoenix.run(
                phoenix.Options(
                    host=options["host"],
                    port=options["port"],
                    web_count=options["workers"],
                    has_sandbox=has_sandbox,
                    probe_host=_first_host(settings.ALLOWED_HOSTS),
                )
            )
        )


def _first_host(allowed: list[str]) -> str:
    """Return a host name that Django accepts; ``.example.com`` allows ``example.com`` too."""
    names = [name.removeprefix(".") for name in allowed if name != "*"]
    return names[0] if names else "localhost"
