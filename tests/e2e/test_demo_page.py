"""The sandbox's page in a real browser: what a visitor sees when an event is sent."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.processes import RunningPhoenix

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="No Chromium is installed; CI demands one."),
]


@pytest.fixture(scope="module")
def phoenix() -> Iterator[RunningPhoenix]:
    with RunningPhoenix() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, phoenix: RunningPhoenix) -> Iterator[Page]:
    faults: list[str] = []
    opened = browser.new_page()
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(f"{phoenix.base_url}/")
    yield opened
    opened.close()
    assert faults == []


def test_a_visitors_way_from_the_first_event_to_a_killed_server(
    page: Page, phoenix: RunningPhoenix
) -> None:
    """One journey, because each step goes on from the board that the last one left."""
    state = page.locator('[data-part="connection-text"]')
    rows = page.locator(".row")
    expect(state).to_have_text("Live")

    # An empty board invites to the first event, whose way back is measured.
    page.get_by_role("button", name="Send the first event").click()
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("user-123")
    expect(page.locator('[data-part="answer"]')).to_have_text(
        re.compile(r"On the board after \d+ ms: user-123 is number 1\.")
    )

    # Another player overtakes.
    page.get_by_label("or anybody else").fill("zoë")
    page.get_by_label("+250").check()
    page.get_by_role("button", name="Send event").click()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("zoë")
    expect(rows.first.locator(".score")).to_have_text("250")
    expect(rows.nth(1).locator(".move")).to_have_text("▼1")
    expect(page.locator('[data-part="clock"]')).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))

    # The line for a terminal works as it stands.
    page.get_by_label("or anybody else").fill("o'neil")
    command = page.locator('[data-part="curl"]').inner_text()
    done = subprocess.run(["sh", "-c", f"{command} -s"], capture_output=True, text=True, check=True)
    assert '"status":"accepted"' in done.stdout
    expect(rows.filter(has_text="o'neil")).to_be_visible()

    # The page comes back by itself.
    for name in [name for name in phoenix.pids if name.startswith("web")]:
        phoenix.wait_for_restart(name, of=phoenix.kill(name))
    phoenix.wait_until_ready()
    expect(state).to_have_text("Live", timeout=30_000)
    page.get_by_label("or anybody else").fill("late")
    page.get_by_role("button", name="Send event").click()
    expect(rows.filter(has_text="late")).to_be_visible()
