from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tenants.models import SigningKey
from tenants.services import signing_keys


class Command(BaseCommand):
    help = "Print the public part of the key that signs, for those who check the signatures."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("purpose", choices=SigningKey.Purpose.values)

    def handle(self, *args: Any, **options: Any) -> None:
        key = signing_keys.ensure_signing_key(options["purpose"], now=timezone.now())
        self.stdout.write(f"{key.kid}\n{key.public_key}")
