"""``python -m phoenix_site.runtime with-servers -- COMMAND``.

Runs COMMAND beside throw-away servers, which it finds in ``DATABASE_URL`` and ``REDIS_URL``, and
ends with its exit code.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from phoenix_site.runtime import processes
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.servers import throw_away_servers


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        with throw_away_servers(durable=options.durable) as servers:
            return _run_beside(command, servers.environment)
    except StartError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m phoenix_site.runtime")
    actions = parser.add_subparsers(required=True, metavar="with-servers")
    with_servers = actions.add_parser(
        "with-servers", help="run a command beside a throw-away PostgreSQL and Valkey"
    )
    with_servers.add_argument(
        "--durable", action="store_true", help="keep fsync and the append-only file on"
    )
    with_servers.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _run_beside(command: Sequence[str], environment: dict[str, str]) -> int:
    parent_pid = os.getpid()
    child = subprocess.Popen(  # noqa: S603 - the person's own command
        command,
        env=os.environ | environment,
        preexec_fn=lambda: processes.end_with_parent(parent_pid, signal.SIGTERM),
    )

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    # The terminal sends Ctrl-C to the command as well: it ends first, then the servers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, pass_on)
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
