"""Choosing the private folders of a Phoenix: its data, its servers' files and their sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phoenix_site.runtime import processes
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.processes import Account

PROJECT_DIR = Path(__file__).resolve().parents[2]
SOCKET_PATH_LIMIT = 100  # The kernel's limit is 107 bytes on Linux, 103 on macOS.
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"
# What needs no escape in a URL, a connection string or a server's configuration.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")
# Where root keeps what the account that runs its servers cannot reach in the checkout.
ROOT_DATA_DIR = Path("/var/lib/phoenix")
ROOT_SOCKET_DIR = Path("/run/phoenix")


@dataclass(frozen=True)
class Places:
    """Where one Phoenix keeps what.

    ``data`` holds Phoenix's own files, ``home`` the servers' folders (the same, unless the
    servers' account cannot enter it), ``sockets`` their sockets.
    """

    data: Path
    home: Path
    sockets: Path
    account: Account | None


def data_dir() -> Path:
    """Return ``PHOENIX_DATA_DIR``, by default ``.phoenix`` in the checkout."""
    return Path(os.environ.get("PHOENIX_DATA_DIR") or PROJECT_DIR / ".phoenix").absolute()


def choose(data: Path, account: Account | None) -> Places:
    """Make and return the private folders for ``data``, closed to everybody else."""
    data = data.absolute()
    if account is not None:
        _make_passage(ROOT_DATA_DIR)
    make_own_folder(data, account)
    home = data
    if account is not None and not _can_enter(data, account):
        home = ROOT_DATA_DIR / digest(data)
        make_own_folder(home, account)
    return Places(
        data=data, home=home, sockets=_choose_sockets(data, home, account), account=account
    )


def make_server_folder(folder: Path, account: Account | None) -> None:
    """Make ``folder`` with mode 0700, owned by the account that the servers run under.

    Raises: ``StartError`` when something that is not ours stands there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _expect_own_folder(folder, account)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def claim_server_folder(folder: Path, account: Account | None) -> None:
    """Give what an earlier start by another user left in ``folder`` to the present servers.

    Raises: ``StartError`` when only root could do that.
    """
    if not folder.exists():
        return
    owner = os.geteuid() if account is None else account.uid
    if folder.lstat().st_uid == owner:
        return
    if account is None:
        raise StartError(
            f"{folder} belongs to another user: start Phoenix as that user, "
            "or set PHOENIX_DATA_DIR to another folder."
        )
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def write_private(path: Path, content: str) -> None:
    """Replace the file ``path`` in one step; only its owner can read it."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    Path(draft).replace(path)


def make_own_folder(folder: Path, account: Account | None) -> None:
    """Make ``folder``, private to its owner; servers under ``account`` may only pass through."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account is None:
            folder.chmod(0o700)
            return
        os.chown(folder, -1, account.gid)
        folder.chmod(0o710)
    except OSError as exc:
        raise StartError(f"Cannot use {folder} as data folder: {exc.strerror}.") from exc


def _make_passage(folder: Path) -> None:
    """Make a folder of root's that servers may pass through, where the system lets it be made."""
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)


def _can_enter(folder: Path, account: Account) -> bool:
    return processes.run(["/bin/sh", "-c", 'cd "$0"', folder], account=account).returncode == 0


def _choose_sockets(data: Path, home: Path, account: Account | None) -> Path:
    for folder in _socket_folders(data, home):
        try:
            make_server_folder(folder, account)
        except (OSError, StartError):
            continue
        if _can_hold_sockets(folder):
            return folder
    raise StartError("Found no private folder with a path short enough for a Unix socket.")


def _socket_folders(data: Path, home: Path) -> Iterator[Path]:
    yield home / "run"
    name = f"phoenix-{digest(data)}"
    if os.geteuid() == 0:
        _make_passage(ROOT_SOCKET_DIR)
        yield ROOT_SOCKET_DIR / digest(data)
    elif os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(os.environ["XDG_RUNTIME_DIR"]) / name
    yield Path("/tmp") / f"{name}-{os.geteuid()}"  # noqa: S108 - its owner is checked
    yield Path(tempfile.mkdtemp(prefix="phoenix-", dir="/tmp"))


def _can_hold_sockets(folder: Path) -> bool:
    """Try it: paths can be too long, and some shared file systems carry no sockets."""
    longest = folder / LONGEST_SOCKET_NAME
    if len(os.fsencode(longest)) >= SOCKET_PATH_LIMIT or not PLAIN_PATH.fullmatch(str(longest)):
        return False
    trial = folder / f".trial.{os.getpid()}"
    trial.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(trial))
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)
    return True


def _expect_own_folder(folder: Path, account: Account | None) -> None:
    """Refuse a folder that somebody else put at a guessable path of a shared directory."""
    owners = {os.geteuid()} | ({account.uid} if account else set())
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise StartError(f"{folder} belongs to somebody else.")


def digest(path: Path) -> str:
    """Return a short name for ``path``."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
