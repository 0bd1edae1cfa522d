#!/usr/bin/env python
"""Django's command line; it finds the private servers of a running Phoenix by itself."""

import os
import sys

from phoenix_site.runtime import environment
from phoenix_site.runtime.exceptions import StartError


def main() -> None:
    command = "".join(sys.argv[1:2])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phoenix_site.settings")
    try:
        environment.find_servers(command)
    except StartError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(exc.exit_code)
    # Imported late: Django may read the environment only now.
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from phoenix_site.management.commands import phoenix

    try:
        if command == "phoenix":
            # The supervisor needs the settings and no app: without them it is ready sooner, and
            # half as large for as long as it runs.
            phoenix.Command().run_from_argv(sys.argv)
        else:
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
