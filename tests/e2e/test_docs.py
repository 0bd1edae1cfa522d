"""Every example of the documentation, run as a reader would: block by block in one shell."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import RunningPhoenix

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("quick-start", "ingestion", "query", "live", "admin-gateway", "rewards")
FENCE = re.compile(r"^```(sh|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = "--- end of block ---"

pytestmark = pytest.mark.processes


@dataclass(frozen=True)
class Example:
    """A block of commands and the JSON that its output must contain, if the page shows one."""

    commands: str
    wanted: Any


def examples_of(page: str) -> list[Example]:
    fences = FENCE.findall((DOCS / f"{page}.md").read_text())
    found: list[Example] = []
    for language, text in fences:
        if language == "sh":
            found.append(Example(text, None))
        else:
            found[-1] = Example(found[-1].commands, json.loads(text))
    return found


def contains(got: Any, wanted: Any) -> bool:
    """Whether ``got`` has everything that ``wanted`` shows; a list must have its items in order."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(
            name in got and contains(got[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(contains, got, wanted))
    return bool(got == wanted)


@pytest.fixture(scope="module")
def phoenix() -> Iterator[RunningPhoenix]:
    with RunningPhoenix() as running:
        yield running


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_do_what_the_page_says(page: str, phoenix: RunningPhoenix) -> None:
    examples = examples_of(page)
    script = "".join(f"{example.commands}\necho; echo '{MARK}'\n" for example in examples)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": "/usr/bin:/bin", "BASE": phoenix.base_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split(MARK)
    for example, output in zip(examples, outputs, strict=False):
        if example.wanted is not None:
            assert contains(json.loads(output), example.wanted), f"{example.commands}\n{output}"


@pytest.mark.parametrize("auth", ["hmac", "jwt"])
def test_the_integration_script_passes_and_may_run_again(
    auth: str, phoenix: RunningPhoenix
) -> None:
    command = ["python3", str(DOCS / "examples" / "integration_test.py"), "--auth", auth]
    for _run in range(2):
        done = subprocess.run(
            [*command, "--base-url", phoenix.base_url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("PASS") == 3
