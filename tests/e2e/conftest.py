"""A Phoenix, a browser, and somebody at the admin's keyboard, for each module of journeys."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect, sync_playwright

from phoenix_site.common.times import format_utc
from tenants.rules import foreign_tokens
from tests.processes import RunningPhoenix

PASSWORD = "browser-pass-1"
# Without GPU, sandbox of its own or calls home; CI machines and containers have none of these.
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
PATIENCE_MS = 15_000


@pytest.fixture(scope="module")
def phoenix() -> Iterator[RunningPhoenix]:
    with RunningPhoenix(variables={"PHOENIX_ADMIN_PASSWORD": PASSWORD}) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def sandbox(phoenix: RunningPhoenix) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((phoenix.data_dir / "sandbox.json").read_text())
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("PHOENIX_CHROMIUM") or shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a browser: install chromium, or name one in PHOENIX_CHROMIUM.")
        pytest.skip("No browser: install chromium, or name one in PHOENIX_CHROMIUM.")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page in a profile of its own; whatever its scripts complain about fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    yield opened
    context.close()
    assert not complaints


@pytest.fixture
def admin(page: Page, phoenix: RunningPhoenix) -> Page:
    """Sign in at the admin's front page."""
    page.goto(f"{phoenix.base_url}/admin/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    expect(page).to_have_url(f"{phoenix.base_url}/admin/")
    return page


@pytest.fixture
def send(sandbox: dict[str, Any]) -> Callable[..., None]:
    """Return a game server: it sends one event that gives a player points."""
    now = int(time.time())
    claims = {"sub": "game-server", "sub_type": "tenant", "sub_id": sandbox["tenant_id"]}
    token = foreign_tokens.sign_token(
        claims | {"iat": now, "exp": now + 3600}, sandbox["tenant_secret"]
    )

    def send_event(player: str, points: int, **attrs: Any) -> None:
        event = {
            "event_id": f"browser-{player}-{time.time_ns()}",
            "type": "game.completed",
            "occurred_at": format_utc(timezone.now()),
            "actor": {"user_id": player},
            "attrs": {"score_delta": points, **attrs},
        }
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{sandbox['base_url']}/v1/events", json=event, headers=headers)
        assert answer.status_code == 202, answer.text

    return send_event
