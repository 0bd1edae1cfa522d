from typing import Any

from django.core.management.base import BaseCommand

from tenants.services import credentials


class Command(BaseCommand):
    help = "Encrypt every stored secret with the first key of PHOENIX_SECRET_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        count = credentials.reencrypt_secrets()
        self.stdout.write(f"{count} secrets are now under the first key.")
