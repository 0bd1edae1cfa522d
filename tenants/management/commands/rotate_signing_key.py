from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tenants.constants import SIGNING_KEY_OVERLAP
from tenants.models import SigningKey
from tenants.services import signing_keys


class Command(BaseCommand):
    help = "Sign tokens or calls with a new key; tokens under the old one go on until they end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("purpose", choices=SigningKey.Purpose.values)
        parser.add_argument(
            "--withdraw", action="store_true", help="end the old key's tokens at once (a leak)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        overlap = timedelta(0) if options["withdraw"] else SIGNING_KEY_OVERLAP
        key = signing_keys.rotate_signing_key(
            options["purpose"], now=timezone.now(), overlap=overlap
        )
        self.stdout.write(f"From now on {key.kid} signs.")
