"""The whole of Phoenix with real processes: start, deaths, orderly end."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from phoenix_site.runtime import environment, processes
from phoenix_site.runtime.places import PROJECT_DIR
from tests.processes import RunningPhoenix

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("phoenix")]

CHILDREN = ("beat", "consumers", "timed", "jobs", "outbox", "valkey", "web-1", "web-2", "postgres")
MEMORY_LIMIT_MIB = 200


@pytest.fixture(scope="module")
def phoenix() -> Iterator[RunningPhoenix]:
    with RunningPhoenix(arguments=["--workers", "2"]) as running:
        yield running


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def memory_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, flags=re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def manage(phoenix: RunningPhoenix, *arguments: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name not in environment.URLS}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT_DIR,
        env=inherited | {"PHOENIX_DATA_DIR": str(phoenix.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_prints_what_to_open_and_three_calls_that_work(phoenix: RunningPhoenix) -> None:
    text = phoenix.log
    calls = [line.strip() for line in text.splitlines() if line.strip().startswith("curl ")]

    answers = [subprocess.check_output([*shlex.split(call), "--silent"]) for call in calls]

    assert f"{phoenix.base_url}/admin/" in text
    assert phoenix.sandbox["staff"]["password"] in text
    assert phoenix.sandbox["admin_api_key"] in text
    health, event, score = [json.loads(answer) for answer in answers]
    assert health["credential"] == "api_key"
    assert event["status"] == "accepted"
    assert "code" not in score or score["code"] == "NOT_FOUND"


def test_the_sandbox_document_is_private_and_names_this_phoenix(phoenix: RunningPhoenix) -> None:
    document = phoenix.data_dir / "sandbox.json"

    assert document.stat().st_mode & 0o777 == 0o600
    assert phoenix.sandbox["base_url"] == phoenix.base_url


def test_every_child_runs_and_is_small(phoenix: RunningPhoenix) -> None:
    pids = phoenix.pids

    assert set(pids) == {"phoenix", *CHILDREN}
    for name in ("phoenix", "beat", "consumers", "timed", "jobs", "outbox", "web-1", "web-2"):
        assert memory_mib(pids[name]) < MEMORY_LIMIT_MIB, name


def test_commands_beside_it_find_its_servers(phoenix: RunningPhoenix) -> None:
    code = (
        "from tenants.models import Tenant; print(Tenant.objects.filter(id='test-tenant').count())"
    )

    done = manage(phoenix, "shell", "--verbosity", "0", "-c", code)

    assert done.stdout == "1\n", done.stderr


def test_a_second_one_in_the_same_folder_is_refused(phoenix: RunningPhoenix) -> None:
    done = manage(phoenix, "phoenix", "--port", "0")

    assert done.returncode == 2
    assert (done.stdout + done.stderr).splitlines() == [
        f"Another Phoenix runs in {phoenix.data_dir} (process {phoenix.pids['phoenix']})."
    ]


def test_clients_are_seen_with_their_own_address(phoenix: RunningPhoenix) -> None:
    # uvicorn must not believe this header: Phoenix itself decides which proxies it trusts.
    answer = httpx.get(f"{phoenix.base_url}/ready", headers={"X-Forwarded-For": "203.0.113.9"})

    assert answer.status_code == 200
    assert "203.0.113.9" not in phoenix.log


@pytest.mark.parametrize("name", CHILDREN)
def test_a_killed_child_comes_back_and_so_does_readiness(
    phoenix: RunningPhoenix, name: str
) -> None:
    killed = phoenix.kill(name)

    phoenix.wait_for_restart(name, of=killed)

    phoenix.wait_until_ready()
    assert httpx.get(f"{phoenix.base_url}/health").status_code == 200


def test_a_termination_ends_everything_in_order_with_exit_code_0() -> None:
    with RunningPhoenix(arguments=["--workers", "1"]) as phoenix:
        pids = phoenix.pids

        assert phoenix.stop() == 0

        assert [name for name, pid in pids.items() if is_alive(pid)] == []
        assert phoenix.log.rstrip().endswith("| stopped")
        assert not (phoenix.data_dir / "processes.json").exists()
        assert not (phoenix.data_dir / "servers.json").exists()


def test_killing_the_supervisor_leaves_no_orphans_and_the_next_start_needs_no_person() -> None:
    with RunningPhoenix(arguments=["--workers", "1"]) as phoenix:
        pids = phoenix.pids
        assert processes.wait_until(lambda: len(_children_of(pids["consumers"])) >= 2, seconds=20)
        workers = _children_of(pids["consumers"])

        phoenix.kill("phoenix")

        # Started at once: the servers may still be writing down what they hold.
        phoenix.start()
        assert [name for name, pid in pids.items() if is_alive(pid)] == []
        assert processes.wait_until(lambda: not any(map(is_alive, workers)), seconds=20)
        phoenix.wait_until_ready()


def _children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
