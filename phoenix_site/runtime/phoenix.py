"""A whole Phoenix: servers, web processes, workers and beat, from start to orderly end."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from phoenix_site.runtime import announcement, environment, places, programs
from phoenix_site.runtime.console import Console
from phoenix_site.runtime.exceptions import StartError, UsageError
from phoenix_site.runtime.servers import PrivateServers, lock_folder
from phoenix_site.runtime.supervisor import Part, StopRequested, Supervisor

PROCESSES_FILE = "processes.json"
SANDBOX_FILE = "sandbox.json"
BACKLOG = 2048
READY_SECONDS = 120
PROBE_SECONDS = 2
PROBE_PAUSE_SECONDS = 0.2
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to connect to


@dataclass(frozen=True)
class Options:
    """What a person asked for, on the command line and in the settings."""

    host: str
    port: int
    web_count: int
    has_sandbox: bool
    # A name of this Phoenix that it answers to, for its own probe.
    probe_host: str


def run(options: Options) -> int:
    """Run Phoenix until it is asked to end, and return the exit code."""
    console = Console()
    try:
        return _run(options, console)
    except StartError as exc:
        console.write(f"{exc}\n")
        return exc.exit_code
    finally:
        console.close()


def _run(options: Options, console: Console) -> int:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(bind(options.host, options.port))
        phoenix = Phoenix(options, listener, console)
        stack.enter_context(phoenix.supervisor.handling_signals())
        stack.enter_context(phoenix.folder())
        try:
            phoenix.start()
            phoenix.supervisor.run()
        except StopRequested:
            pass
        finally:
            phoenix.stop()
    return 0


class Phoenix:
    """The processes of one data folder."""

    def __init__(self, options: Options, listener: socket.socket, console: Console) -> None:
        self.options = options
        self.console = console
        self.data_dir = places.data_dir()
        self.supervisor = Supervisor(console, note_pids=self._note_pids)
        self.base_url = _base_url(options.host, listener)
        self._listener = listener
        self._pids: dict[str, int] = {}
        self._is_ready = False
        # Stopped group by group, last started first.
        self._groups: list[list[Part]] = []
        self._servers: PrivateServers | None = None
        self._urls = environment.given_urls(os.environ)

    @contextlib.contextmanager
    def folder(self) -> Iterator[None]:
        """Hold the data folder; a second Phoenix in it would end the first one's servers."""
        if self._urls:
            places.make_own_folder(self.data_dir, None)
            with lock_folder(self.data_dir):
                yield
            return
        self._servers = PrivateServers(self.data_dir)
        self._servers.acquire()
        self._urls = self._servers.environment
        try:
            yield
        finally:
            self._servers.stop()

    def start(self) -> None:
        """Start everything; returns when Phoenix answers. Raises: ``StartError``."""
        began = time.monotonic()
        self._write_processes()  # Over what a killed supervisor said last.
        if self._servers is not None:
            self._start_servers(self._servers)
        self._prepare_database()
        child_environment = self._child_environment()
        self._add(programs.beat(self.data_dir, child_environment))
        self._add(*programs.workers(child_environment))
        count = self.options.web_count
        listener = self._listener.fileno()
        self._add(*programs.web(count=count, listener=listener, environment=child_environment))
        probe = Probe(self.base_url, host=self.options.probe_host)
        if not self.supervisor.wait_until(probe, seconds=READY_SECONDS):
            raise StartError(f"Not ready after {READY_SECONDS} s; GET /ready: {probe.last_answer}")
        self._is_ready = True
        self._write_processes()
        self.console.write(
            announcement.ready_text(
                self.base_url,
                seconds=time.monotonic() - began,
                sandbox_file=self.data_dir / SANDBOX_FILE if self.options.has_sandbox else None,
            )
        )

    def stop(self) -> None:
        """Stop everything: web, workers, beat, Valkey, PostgreSQL."""
        self.console.say("stopping")
        # The web processes listen on until they are drained. Kept open here, it would take
        # connections that nobody ever answers.
        self._listener.close()
        for group in reversed(self._groups):
            self.supervisor.stop(group)
        (self.data_dir / PROCESSES_FILE).unlink(missing_ok=True)
        self.console.say("stopped")

    def _start_servers(self, servers: PrivateServers) -> None:
        self.console.say(f"starting PostgreSQL and Valkey in {servers.places.home}")
        for server in (servers.postgres, servers.valkey):
            self._add(server)
        for server in (servers.postgres, servers.valkey):
            if not self.supervisor.wait_until(server.note_readiness, seconds=READY_SECONDS):
                raise StartError(f"{server.name} does not answer after {READY_SECONDS} s.")

    def _prepare_database(self) -> None:
        has_sandbox = self.options.has_sandbox
        seeding = " and seeding the sandbox" if has_sandbox else ""
        self.console.say(f"migrating the database{seeding}")
        arguments = ["--sandbox"] if has_sandbox else []
        self.supervisor.run_once(
            programs.manage("prepare", *arguments, environment=self._child_environment())
        )

    def _child_environment(self) -> dict[str, str]:
        return {
            **self._urls,
            "PHOENIX_DATA_DIR": str(self.data_dir),
            "PHOENIX_STATIC_ROOT": os.environ.get(
                "PHOENIX_STATIC_ROOT", str(self.data_dir / "static")
            ),
            "PHOENIX_BASE_URL": os.environ.get("PHOENIX_BASE_URL") or self.base_url,
        }

    def _add(self, *parts: Part) -> None:
        self._groups.append(list(parts))
        for part in parts:
            self.supervisor.add(part)

    def _note_pids(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._write_processes()

    def _write_processes(self) -> None:
        content = {
            "base_url": self.base_url,
            "ready": self._is_ready,
            "processes": {"phoenix": os.getpid(), **self._pids},
        }
        text = json.dumps(content, indent=2) + "\n"
        places.write_private(self.data_dir / PROCESSES_FILE, text)


class Probe:
    """Asks ``GET /ready``, now and then."""

    def __init__(self, base_url: str, *, host: str) -> None:
        self._address = base_url.removeprefix("http://")
        self._host = host
        self._next_at = 0.0
        self.last_answer = "none"

    def __call__(self) -> bool:
        """Return whether Phoenix answered 200 just now."""
        if time.monotonic() < self._next_at:
            return False
        status, self.last_answer = self._ask()
        self._next_at = time.monotonic() + PROBE_PAUSE_SECONDS
        return status == http.HTTPStatus.OK

    def _ask(self) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._address, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", "/ready", headers={"Host": self._host})
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as exc:
            return 0, repr(exc)
        finally:
            connection.close()
        return answer.status, f"{answer.status} {body}"


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; all web processes accept from it.

    Raises: ``UsageError`` when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OverflowError as exc:
        raise UsageError(f"{port} is not a port: use 0 to 65535.") from exc
    except OSError as exc:
        raise UsageError(_refusal(host, port, exc)) from exc
    # Accepted connections inherit it. uvicorn takes the inherited socket for a Unix socket and
    # would not set it, which delays small answers by up to 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _refusal(host: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"Port {port} is taken: stop what uses it, or choose another with --port."
    return f"Cannot listen on {host} port {port}: {exc.strerror}."


def _base_url(host: str, listener: socket.socket) -> str:
    reachable = ANY_ADDRESS.get(host, host)
    if ":" in reachable:
        reachable = f"[{reachable}]"
    return f"http://{reachable}:{listener.getsockname()[1]}"
