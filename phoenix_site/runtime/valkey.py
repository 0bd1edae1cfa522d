"""The private Valkey, or Redis where the machine has only that."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from phoenix_site.runtime import places
from phoenix_site.runtime.places import Places
from phoenix_site.runtime.server import Server

DATABASES = 64
ANSWER_SECONDS = 1.0


class ValkeyServer(Server):
    """A Valkey whose content can be lost: everything in it is rebuilt from PostgreSQL."""

    name = "valkey"
    program_names = ("valkey-server", "redis-server")
    stop_signal = signal.SIGTERM
    # Advice for servers that keep what cannot be lost, and the good-bye.
    hidden_messages = (
        "Memory overcommit must be enabled",
        "SIGTERM scheduling shutdown",
        "is now ready to exit",
    )

    def __init__(self, chosen: Places, program: Path, *, durable: bool) -> None:
        super().__init__(chosen, durable=durable)
        self.program = program

    @property
    def socket_path(self) -> Path:
        """The Unix socket on which it answers."""
        return self.places.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}?db=0"

    @property
    def marker(self) -> str:
        return str(self.folder)

    @property
    def command(self) -> list[str | Path]:
        return [
            self.program,
            *("--dir", self.folder),
            *("--port", "0"),
            *("--unixsocket", self.socket_path, "--unixsocketperm", "700"),
            *("--databases", str(DATABASES)),
            *("--appendonly", "yes" if self.durable else "no"),
            *("--appendfsync", "everysec"),
            # The append-only file keeps everything; snapshots beside it would only cost.
            *("--save", ""),
            *("--loglevel", "warning"),
            # The command line stays as it is, so that leftovers of a crash can be found by it.
            *("--set-proc-title", "no"),
        ]

    def prepare(self) -> None:
        if self.process is not None and not self._was_ready:
            self._set_aside()
        places.make_server_folder(self.folder, self.places.account)
        self.socket_path.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def _set_aside(self) -> None:
        """Move files away that it could not load: a start without them needs no person."""
        number = 1
        while (aside := self.folder.with_name(f"{self.name}.unreadable-{number}")).exists():
            number += 1
        if self.folder.exists():
            self.folder.rename(aside)
