from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tenants.services import audit, staff


class Command(BaseCommand):
    help = (
        "Give a staff member a second factor and print its address once. In production a "
        "superuser cannot sign in without one, so the first is added here."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="phone", help="what the device is called")

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model().objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']}.")
        address = staff.add_second_factor(
            user, name=options["name"], actor=audit.SYSTEM, now=timezone.now()
        )
        self.stdout.write(address)
