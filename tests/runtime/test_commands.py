import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from phoenix_site.runtime import environment
from phoenix_site.runtime.exceptions import UsageError
from phoenix_site.runtime.places import PROJECT_DIR


def run_python(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name not in environment.URLS}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT_DIR,
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "missing"), [("DATABASE_URL", "REDIS_URL"), ("REDIS_URL", "DATABASE_URL")]
)
def test_one_url_alone_is_refused(given: str, missing: str) -> None:
    with pytest.raises(UsageError, match=f"{given} is set but {missing} is not"):
        environment.given_urls({given: "somewhere"})


def test_both_urls_are_taken_and_none_means_private_servers() -> None:
    both = {"DATABASE_URL": "postgresql://db/phoenix", "REDIS_URL": "redis://cache/0"}

    assert environment.given_urls(both | {"HOME": "/"}) == both
    assert environment.given_urls({"HOME": "/", "DATABASE_URL": ""}) == {}


@pytest.mark.processes
def test_manage_py_says_in_one_line_that_a_url_is_missing() -> None:
    done = run_python("manage.py", "phoenix", DATABASE_URL="postgresql://db/phoenix")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "DATABASE_URL is set but REDIS_URL is not: set both to use your own servers, "
        "or neither to use private ones."
    ]


@pytest.mark.processes
def test_a_missing_secret_of_production_is_one_line_that_names_it() -> None:
    done = run_python("manage.py", "phoenix", PHOENIX_ENV="prod", SECRET_KEY="")

    assert done.returncode == 1
    assert done.stderr.splitlines() == ["SECRET_KEY is not set; it is a secret and has no default."]


@pytest.mark.processes
def test_a_taken_port_is_one_line_and_exit_code_2(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run_python("manage.py", "phoenix", PHOENIX_PORT=str(port), **_in(data_dir))

    assert done.returncode == 2
    assert (done.stdout + done.stderr).splitlines() == [
        f"Port {port} is taken: stop what uses it, or choose another with --port."
    ]
    assert list(data_dir.iterdir()) == []


@pytest.mark.processes
def test_a_port_out_of_range_is_one_line_and_exit_code_2(data_dir: Path) -> None:
    done = run_python("manage.py", "phoenix", "--port", "70000", **_in(data_dir))

    assert done.returncode == 2
    assert len((done.stdout + done.stderr).splitlines()) == 1


@pytest.mark.processes
def test_a_command_beside_servers_finds_them_and_passes_its_exit_code_on() -> None:
    script = (
        "import os, psycopg, redis;"
        "psycopg.connect(os.environ['DATABASE_URL']).close();"
        "redis.Redis.from_url(os.environ['REDIS_URL']).ping();"
        "raise SystemExit(7)"
    )

    done = run_python(
        "-m", "phoenix_site.runtime", "with-servers", "--", sys.executable, "-c", script
    )

    assert done.returncode == 7, done.stderr


def _in(data_dir: Path) -> dict[str, str]:
    return {"PHOENIX_DATA_DIR": str(data_dir)}
