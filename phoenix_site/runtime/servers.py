"""Private PostgreSQL and Valkey servers on Unix sockets, which belong to one data folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self
from urllib.parse import urlsplit

from phoenix_site.runtime import engines, places
from phoenix_site.runtime.exceptions import StartError, UsageError
from phoenix_site.runtime.postgres import PostgresServer
from phoenix_site.runtime.valkey import ValkeyServer

SERVERS_FILE = "servers.json"
LOCK_FILE = "lock"
THROW_AWAY_PREFIX = "phoenix-throw-away-"
THROW_AWAY_SECONDS = 3600


class PrivateServers:
    """The PostgreSQL and the Valkey of one data folder.

    ``durable=False`` trades safety for speed and is for tests only: a crash may lose everything.
    A folder serves one instance at a time; the kernel drops the lock when its holder ends.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        account = engines.server_account()
        self.places = places.choose(data_dir, account)
        programs = engines.runnable_by(
            account, engines.find_engines(), place=places.ROOT_DATA_DIR / "engines"
        )
        self.postgres = PostgresServer(self.places, programs.postgres_bin, durable=durable)
        self.valkey = ValkeyServer(self.places, programs.valkey, durable=durable)
        self._lock: IO[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The two variables that lead Phoenix to these servers."""
        return {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.valkey.url}

    def start(self) -> None:
        """Start both and return when they answer; what a crash left behind is cleared away.

        Raises: ``UsageError`` when another process runs servers in this folder, ``StartError``
        with the end of a server's log when it does not come up.
        """
        self.acquire()
        try:
            self.postgres.start()
            self.valkey.start()
        except BaseException:
            self.stop()
            raise

    def acquire(self) -> None:
        """Claim the folder and say in ``servers.json`` where its servers are."""
        self._lock = lock_folder(self.places.data)
        content = json.dumps(self.environment, indent=2) + "\n"
        places.write_private(self.places.data / SERVERS_FILE, content)

    def stop(self) -> None:
        """Stop both in good order and give the folder free; harmless when they do not run."""
        self.valkey.stop()
        self.postgres.stop()
        self.release()

    def release(self) -> None:
        """Give the folder free."""
        if self._lock is None:
            return
        (self.places.data / SERVERS_FILE).unlink(missing_ok=True)
        self._lock.close()
        self._lock = None
        if self.places.sockets.parent != self.places.home:
            shutil.rmtree(self.places.sockets, ignore_errors=True)

    def remove(self) -> None:
        """Delete the folder and everything that the servers stored."""
        for folder in (self.places.sockets, self.places.home, self.places.data):
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


@contextlib.contextmanager
def throw_away_servers(*, durable: bool = False) -> Iterator[PrivateServers]:
    """Run servers in a new folder that is deleted at the end."""
    _remove_abandoned()
    servers = PrivateServers(new_throw_away_dir(), durable=durable)
    try:
        with servers:
            yield servers
    finally:
        servers.remove()


def new_throw_away_dir() -> Path:
    """Make a private folder that a later run deletes if this one cannot."""
    return Path(tempfile.mkdtemp(prefix=THROW_AWAY_PREFIX))


def running_environment(data_dir: Path) -> dict[str, str] | None:
    """Return the URLs of the servers that run in ``data_dir``, ``None`` when none do."""
    try:
        content = json.loads((data_dir / SERVERS_FILE).read_text(encoding="utf-8"))
        # Asked by a connection and not by the lock: to try the lock could foil a start just now.
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(urlsplit(content["REDIS_URL"]).path)
    except (OSError, ValueError):
        return None
    return {name: content[name] for name in ("DATABASE_URL", "REDIS_URL")}


def lock_folder(folder: Path) -> IO[str]:
    """Claim ``folder`` until the returned file is closed or this process ends.

    Raises: ``UsageError`` when another process holds it.
    """
    # Opened for appending: while another process holds the lock, its id in there stays readable.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        lock = os.fdopen(os.open(folder / LOCK_FILE, flags, mode=0o600), "r+", encoding="utf-8")
    except PermissionError as exc:
        raise StartError(f"{folder} belongs to another user.") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise UsageError(f"Another Phoenix runs in {folder} (process {holder}).") from exc
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _remove_abandoned() -> None:
    """Delete throw-away folders whose run was killed before it could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{THROW_AWAY_PREFIX}*"):
        with contextlib.suppress(OSError, StartError):
            if time.time() - folder.stat().st_mtime < THROW_AWAY_SECONDS:
                continue
            with lock_folder(folder):
                shutil.rmtree(folder, ignore_errors=True)
