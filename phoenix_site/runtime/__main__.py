"""Runs a command beside throw-away servers, or beside a whole Phoenix.

``python -m phoenix_site.runtime with-servers -- COMMAND`` starts PostgreSQL and Valkey, which
COMMAND finds in ``DATABASE_URL`` and ``REDIS_URL``.

``python -m phoenix_site.runtime with-phoenix -- COMMAND`` starts everything, which COMMAND finds
through ``PHOENIX_DATA_DIR``; with ``--or-running`` it uses the Phoenix that already runs here.

The exit code is COMMAND's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from phoenix_site.runtime import places, processes
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.instance import running_instance, throw_away_instance
from phoenix_site.runtime.servers import throw_away_servers


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        with options.provide(options) as variables:
            return _run_beside(command, variables)
    except StartError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m phoenix_site.runtime")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    with_servers = actions.add_parser(
        "with-servers", help="run a command beside a throw-away PostgreSQL and Valkey"
    )
    with_servers.set_defaults(provide=_servers)
    with_servers.add_argument(
        "--durable", action="store_true", help="keep fsync and the append-only file on"
    )
    with_phoenix = actions.add_parser(
        "with-phoenix", help="run a command beside a throw-away Phoenix"
    )
    with_phoenix.set_defaults(provide=_phoenix)
    with_phoenix.add_argument(
        "--or-running", action="store_true", help="use the Phoenix that runs here, if one does"
    )
    for action in (with_servers, with_phoenix):
        action.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    return parser


@contextlib.contextmanager
def _servers(options: argparse.Namespace) -> Iterator[dict[str, str]]:
    with throw_away_servers(durable=options.durable) as servers:
        yield servers.environment


@contextlib.contextmanager
def _phoenix(options: argparse.Namespace) -> Iterator[dict[str, str]]:
    running = running_instance(places.data_dir()) if options.or_running else None
    if running is not None:
        yield {"PHOENIX_DATA_DIR": str(running.data_dir)}
        return
    with throw_away_instance() as instance:
        yield {"PHOENIX_DATA_DIR": str(instance.data_dir)}


def _run_beside(command: Sequence[str], variables: dict[str, str]) -> int:
    parent_pid = os.getpid()
    child = subprocess.Popen(  # noqa: S603 - the person's own command
        command,
        env=os.environ | variables,
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
