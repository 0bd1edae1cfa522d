"""Journeys of people with a real browser against a real Phoenix."""

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.processes import RunningPhoenix

pytestmark = [pytest.mark.processes, pytest.mark.browser]

LIVE_MS = 5_000


def test_an_event_shows_on_the_demo_page_within_five_seconds(
    page: Page, phoenix: RunningPhoenix, send: Callable[[str, int], None]
) -> None:
    page.goto(phoenix.base_url)
    expect(page.locator("[data-part=connection]")).to_contain_text("Live")

    send("browser-ana", 4321)

    row = page.locator("[data-part=list] li", has_text="browser-ana")
    expect(row).to_contain_text("4,321", timeout=LIVE_MS)


def test_a_board_is_made_with_the_form_and_stands_in_the_list(
    admin: Page, phoenix: RunningPhoenix, send: Callable[[str, int], None]
) -> None:
    send("browser-ben", 7)
    admin.goto(f"{phoenix.base_url}/admin/leaderboards/leaderboard/add/")
    check = admin.locator("[data-part=check]")
    expect(check).to_contain_text("Still to fill in")

    admin.select_option("[name=tenant]", "test-tenant")
    admin.fill("[name=leaderboard_id]", "daily-best")
    admin.fill("[name=name]", "Daily Best")
    admin.locator("[data-name=points_expression]").fill("attrs.score_delta * 2")
    admin.select_option("[name=timeframe_type]", "daily")
    admin.fill("[name=timezone]", "Europe/Stockholm")
    admin.select_option("[name=tie_policy]", "shared")

    expect(check).to_contain_text("Complete and valid")
    expect(admin.locator("[name=reset_weekday]")).to_be_hidden()
    expect(admin.locator("[name=reset_time]")).to_be_visible()
    expect(admin.locator("[data-part=windows] tbody tr")).to_have_count(5)
    expect(admin.locator("[data-part=trial]")).to_contain_text("14 points")
    ranks = admin.locator("[data-part=ties] tbody tr td:last-child")
    expect(ranks).to_have_text(["1", "2", "2", "4"])
    expect(admin.locator("[data-part=json]")).to_contain_text('"tie_policy": "shared"')

    admin.locator("[data-name=points_expression]").fill("attrs.score_delta *")
    expect(check).to_contain_text("Rule 1, points")
    admin.locator("[data-name=points_expression]").fill("attrs.score_delta * 2")
    expect(check).to_contain_text("Complete and valid")
    admin.click("[name=_save]")

    row = admin.locator("#result_list tr", has_text="daily-best")
    expect(row).to_contain_text("Daily Best")
    expect(row).to_contain_text("Active")


def test_standings_move_while_somebody_watches(
    admin: Page, phoenix: RunningPhoenix, send: Callable[[str, int], None]
) -> None:
    send("browser-cleo", 50)
    admin.goto(f"{phoenix.base_url}/admin/leaderboards/leaderboard/?q=xp-weekly")
    row = admin.locator("#result_list tr", has_text="test-tenant")
    row.get_by_role("link", name="Global Weekly XP").click()
    admin.get_by_role("link", name="Live standings").click()
    watched = admin.locator("[data-player=browser-cleo]")
    expect(watched).to_contain_text("50")

    send("browser-cleo", 60)

    expect(watched).to_contain_text("110", timeout=LIVE_MS)


def test_a_new_key_is_shown_once_and_opens_the_gateway(
    admin: Page, phoenix: RunningPhoenix
) -> None:
    admin.goto(f"{phoenix.base_url}/admin/tenants/credential/add/")
    admin.select_option("[name=kind]", "api_key")
    admin.fill("[name=label]", "Browser key")
    _choose(admin, "tenants", "test-tenant")
    admin.check("[name=scopes][value='leaderboards:read']")

    admin.click("[name=_save]")
    value = admin.locator("#secret-value").inner_text()
    address = f"{phoenix.base_url}/v1/tenants/test-tenant/leaderboards"
    answer = httpx.get(address, headers={"X-API-Key": value})
    admin.get_by_text("I have stored it").click()

    assert answer.status_code == 200
    assert any(
        board["leaderboard_id"] == "xp-weekly-global" for board in answer.json()["leaderboards"]
    )
    expect(admin.locator("body")).to_contain_text("Browser key")
    for path in ("", "?q=Browser", "../auditentry/"):
        admin.goto(f"{phoenix.base_url}/admin/tenants/credential/{path}")
        assert value not in admin.content()


def test_the_dashboard_tells_what_happens_without_a_reload(
    admin: Page, send: Callable[[str, int], None]
) -> None:
    expect(admin.locator("[data-part=live]")).to_have_text("Live")
    expect(admin.locator("[data-part=boards]")).to_contain_text("Global Weekly XP")
    admin.evaluate("window.isTheSamePage = true")
    before = _rate(admin)

    for number in range(90):
        send("browser-dan", number)

    # The tallies of a minute: ninety more events are one and a half per second more.
    admin.wait_for_function(
        "(before) => parseFloat(document.querySelector('.phoenix-tile dd').textContent) > before",
        arg=before + 1,
    )
    expect(admin.locator("[data-part=health]")).to_contain_text("Workers seen")
    assert admin.evaluate("window.isTheSamePage")


def test_the_reference_opens_under_the_content_policy(page: Page, phoenix: RunningPhoenix) -> None:
    page.goto(f"{phoenix.base_url}/docs/")

    expect(page.locator("body")).to_contain_text("/v1/events")


def _rate(page: Page) -> float:
    text = page.locator(".phoenix-tile dd").first.inner_text()
    found = re.search(r"[\d.,]+", text)
    assert found, text
    return float(found[0].replace(",", ""))


def _choose(page: Page, field: str, text: str) -> None:
    """Choose a row in a field that looks rows up while one types."""
    box = page.locator(f".field-{field}, .form-row:has([name={field}])").first
    box.locator(".select2-selection").click()
    page.locator(".select2-search__field").last.fill(text)
    page.locator(".select2-results__option", has_text=text).first.click()
