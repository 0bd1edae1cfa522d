"""The private PostgreSQL."""

from __future__ import annotations

import contextlib
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

from phoenix_site.runtime import engines, places, processes
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.places import Places
from phoenix_site.runtime.server import Server, server_environment

DATABASE = "phoenix"
USER = "phoenix"
LOCALE = "C.UTF-8"
# The line of postmaster.pid that says how far the start has come.
STATUS_LINE = 7

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "random_page_cost": "1.1",
    # Short statements only: compiling them or sharing them out costs more than they do.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    # The event table grows and boards update in place: many small vacuums instead of rare big ones.
    "autovacuum": "on",
    "autovacuum_naptime": "20s",
    "autovacuum_vacuum_cost_limit": "1000",
    "log_checkpoints": "off",
    # Statements that a constraint refused would fill the terminal; the callers log theirs.
    "log_min_messages": "fatal",
}
UNSAFE_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
}
# Known to PostgreSQL 18 only. Reading in the server process itself saves three more processes.
SETTINGS_OF_18 = {"io_method": "sync"}


class PostgresServer(Server):
    """A PostgreSQL cluster with one database ``phoenix``, open to its sockets' owner alone."""

    name = "postgres"
    program_names = ("postgres",)
    # "Fast": no new work, roll back what is open, write everything down, end.
    stop_signal = signal.SIGINT

    def __init__(self, chosen: Places, postgres_bin: Path, *, durable: bool) -> None:
        super().__init__(chosen, durable=durable)
        self.bin = postgres_bin
        self.version = engines.postgres_version(postgres_bin, account=chosen.account)

    @property
    def url(self) -> str:
        return f"postgresql:///{DATABASE}?host={quote(str(self.places.sockets))}&user={USER}"

    @property
    def marker(self) -> str:
        # PostgreSQL shows cluster_name in the command line of each of its processes.
        return f"phoenix-{places.digest(self.folder)}"

    @property
    def command(self) -> list[str | Path]:
        settings = SETTINGS | (SETTINGS_OF_18 if self.version >= 18 else {})
        settings |= {} if self.durable else UNSAFE_SETTINGS
        settings |= {
            "cluster_name": self.marker,
            "unix_socket_directories": str(self.places.sockets),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.bin / "postgres", "-D", self.folder, *options]

    def prepare(self) -> None:
        if not (self.folder / "PG_VERSION").is_file():
            self._create()
        made_by = (self.folder / "PG_VERSION").read_text(encoding="utf-8").strip()
        if made_by != str(self.version):
            raise StartError(
                f"{self.folder} was made by PostgreSQL {made_by}, and this is {self.version}: "
                "set PHOENIX_DATA_DIR to another folder, or move this one away."
            )
        # The server trusts a process id in these files, and ids are given out again after a
        # crash. Nothing runs here: the folder is locked and leftovers have ended.
        if processes.can_find_pids():
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
        for socket_file in self.places.sockets.glob(".s.PGSQL.*"):
            socket_file.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        # Asked like pg_ctl asks: a connection would be logged as refused while it recovers.
        lines = self._pid_lines()
        return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready"

    def _leftover_main(self) -> int:
        lines = self._pid_lines()
        return int(lines[0]) if lines and lines[0].isdigit() else 0

    def _pid_lines(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def _create(self) -> None:
        """Make the cluster beside its place and move it there whole: none is ever half made."""
        draft = self.folder.with_name(f"{self.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        places.make_server_folder(draft, self.places.account)
        options = [
            *("--username", USER, "--encoding", "UTF8", "--locale", LOCALE),
            *("--auth-local", "trust", "--auth-host", "reject", "--no-instructions"),
        ]
        if not self.durable:
            options.append("--no-sync")
        self._tool([self.bin / "initdb", "-D", draft, *options])
        single: list[str | Path] = [self.bin / "postgres", "--single", "-D", draft, "postgres"]
        self._tool(single, text_in=f"CREATE DATABASE {DATABASE}\n")
        with contextlib.suppress(FileNotFoundError):
            self.folder.rmdir()
        draft.rename(self.folder)

    def _tool(self, command: list[str | Path], *, text_in: str = "") -> None:
        done = processes.run(
            command, account=self.places.account, env=server_environment(), text_in=text_in
        )
        if done.returncode != 0:
            raise StartError(f"PostgreSQL cannot be set up in {self.folder}:\n{done.stdout}")
