"""Journeys of those who write rules and of those who explain them, with a real browser."""

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import PASSWORD
from tests.processes import RunningPhoenix

pytestmark = [pytest.mark.processes, pytest.mark.browser]

RULES = "/admin/rewards/rule/"
PATIENCE_MS = 30_000
ID = "01980000-0000-7000-8000-000000000001"
TREE = {
    "op": "and",
    "conditions": [
        {"op": "gte", "field": "attrs.bet", "value": 20},
        {
            "op": "or",
            "conditions": [
                {"op": "eq", "field": "attrs.mode", "value": "ranked"},
                {"op": "gte", "field": "attrs.win", "value_expression": "10 * attrs.bet"},
            ],
        },
    ],
}
Send = Callable[..., None]


def credit(amount: dict[str, Any]) -> dict[str, Any]:
    return {"type": "credit", "currency_id": "gold", "amount": amount}


def part(page: Page, name: str) -> Locator:
    return page.locator(f'[data-part="{name}"]')


def place(page: Page, path: str) -> Locator:
    """Return the element that a place of the document has in the form."""
    return page.locator(f'#rule_form [data-path="{path}"]')


def open_builder(admin: Page, phoenix: RunningPhoenix, **fields: str) -> None:
    admin.goto(f"{phoenix.base_url}{RULES}add/")
    expect(part(admin, "check")).to_contain_text("Still to fill in")
    admin.select_option("[name=tenant]", "test-tenant")
    for name, value in fields.items():
        admin.fill(f"[name={name}]", value)


def test_a_rule_is_built_tried_activated_and_explained(
    admin: Page, phoenix: RunningPhoenix, send: Send
) -> None:
    send("rule-ana", 1, bet=25, mode="ranked", win=3)
    send("rule-ben", 1, bet=5, mode="ranked", win=3)
    open_builder(admin, phoenix, rule_id="big-win", name="Big win bonus")

    # When: types and fields come from what the tenant sent.
    place(admin, "trigger.names.0").fill("game.completed")
    offered = admin.locator("#phoenix-fields option[value='attrs.bet']")
    for number in range(40):
        if offered.count():
            break
        # What is known of events is some seconds old; each change asks again.
        admin.fill("[name=priority]", str(number))
        admin.wait_for_timeout(500)
    expect(offered).to_have_attribute("label", re.compile("a number"))

    # If: a comparison, and a group within the group.
    root = place(admin, "conditions").first
    root.locator("[data-add=condition]").first.click()
    place(admin, "conditions.conditions.0.field").fill("attrs.bet")
    expect(place(admin, "conditions.conditions.0.kind")).to_have_value("number")
    place(admin, "conditions.conditions.0.value").fill("20")
    root.locator("[data-add=group]").last.click()
    group = place(admin, "conditions.conditions.1")
    group.locator("[data-add=condition]").click()
    place(admin, "conditions.conditions.1.conditions.0.field").fill("attrs.mode")
    place(admin, "conditions.conditions.1.conditions.0.value").fill("ranked")
    group.locator("[data-add=condition]").click()
    place(admin, "conditions.conditions.1.conditions.1.field").fill("attrs.win")
    place(admin, "conditions.conditions.1.conditions.1.kind").select_option("expression")
    place(admin, "conditions.conditions.1.conditions.1.op").select_option("gte")
    place(admin, "conditions.conditions.1.conditions.1.value_expression").fill("10 * attrs.bet")

    # Then, and at most.
    admin.locator("[data-add=effect]").click()
    place(admin, "effects.0.currency_id").select_option("gold")
    place(admin, "effects.0.amount.type").select_option("multiplier")
    place(admin, "effects.0.amount.factor").fill("0.5")
    place(admin, "effects.0.amount.field").fill("attrs.bet")
    admin.fill("[name=per_player_day]", "1")
    expect(part(admin, "check")).to_contain_text("Complete and valid")
    meaning = part(admin, "meaning")
    expect(meaning).to_contain_text("at least one of these holds:")
    expect(meaning).to_contain_text("Credit 0.5 times attrs.bet Gold, rounded down to whole")
    document = json.loads(admin.input_value("[name=document_json]"))
    assert document["conditions"] == TREE

    # Tried on what really happened.
    part(admin, "try").click()
    tried = admin.locator(".phoenix-tried li")
    expect(tried.filter(has_text="rule-ana")).to_contain_text("Fires")
    expect(tried.filter(has_text="rule-ben")).to_contain_text("Conditions not met")

    # Saved as a draft, then activated.
    admin.click("[name=_save]")
    admin.get_by_role("link", name="Activate").first.click()
    admin.fill("[name=reason]", "Goes live")
    admin.get_by_role("button", name="Activate").click()
    expect(admin.locator(".phoenix-head")).to_contain_text("Active, version 1")

    # It fires once a day, and both are explained.
    page_of_rule = admin.url
    send("rule-cleo", 1, bet=40, mode="ranked", win=3)
    send("rule-cleo", 2, bet=40, mode="ranked", win=3)
    _wait_for(admin, page_of_rule, "Limit of the day")
    admin.locator("section", has_text="Latest firings").get_by_role("link", name="Why?").click()
    verdict = admin.locator("[data-verdict=big-win]")
    expect(verdict).to_contain_text("Granted")
    expect(verdict).to_contain_text("Credits 20 Gold")
    steps = admin.locator(".phoenix-chain li small")
    expect(steps).to_have_text([re.compile("^Event"), re.compile("^Firing"), re.compile("^Trans")])
    admin.goto(page_of_rule)
    admin.locator("section", has_text="Latest refusals").get_by_role("link", name="Why?").click()
    expect(verdict).to_contain_text("Already granted 1 of 1")
    expect(verdict.locator("tr.is-met")).to_have_count(2)


DOCUMENTS: list[dict[str, Any]] = [
    {"effects": [{"type": "grant", "item_id": ID}, credit({"type": "fixed", "amount": 12.5})]},
    {"effects": [{"type": "grant", "reward_config_id": ID}]},
    {"effects": [credit({"type": "multiplier", "field": "attrs.bet", "factor": 0.5})]},
    {"effects": [credit({"type": "step", "field": "attrs.bet", "per": 10, "amount": 1})]},
    {"effects": [credit({"type": "expression", "expression": "attrs.bet + 1"})]},
    {
        "effects": [
            {
                "type": "progress",
                "goal": f"achievement:{ID}",
                "amount": {"type": "fixed", "amount": 2},
            },
            {"type": "coupon", "coupon_id": ID},
        ]
    },
    {"conditions": TREE},
    {
        "conditions": {
            "op": "or",
            "conditions": [
                {"op": "in", "field": "attrs.a", "value": ["x", "y"]},
                {"op": "nin", "field": "attrs.b", "value": [1, 2.5]},
                {"op": "exists", "field": "attrs.c", "value": False},
                {"op": "eq", "field": "attrs.d", "value": True},
                {"op": "eq", "field": "attrs.e", "value": None},
                {"op": "eq", "field": "attrs.f", "value": "20"},
                {"op": "eq", "field": "attrs.g", "value": {"deep": [1, "x"]}},
                {"op": "eq", "field": "attrs.h", "value": 123456789012345678},
                {"op": "in", "field": "attrs.i", "value": ["a, b", "c"]},
            ],
        }
    },
    {
        "conditions": {
            "op": "not",
            "conditions": [
                {
                    "op": "or",
                    "conditions": [
                        {"op": "gt", "field": "now.hour", "value": 18},
                        {"op": "eq", "field": "player.country", "value": "SE"},
                    ],
                }
            ],
        }
    },
    {"trigger": {"type": "platform", "names": ["level.reached", "coupon.redeemed"]}},
    {"trigger": {"type": "event", "names": ["game.*", "deposit.confirmed"]}},
    {
        "limits": {
            "per_player": {"day": 1, "week": 3, "total": 9},
            "amount": {"event": 200, "day": 1000.5, "week": 5000},
            "budget": {"firings": 10000, "cost": 2500.75},
        },
        "group": {"name": "wins", "mode": "best"},
        "starts_at": "2026-03-01T00:00:00Z",
        "ends_at": "2026-04-01T12:30:15Z",
        "timezone": "Asia/Tokyo",
    },
]


def test_json_and_fields_follow_each_other(admin: Page, phoenix: RunningPhoenix) -> None:
    """Whatever the JSON says goes to the fields, and comes back from them when one is changed."""
    open_builder(admin, phoenix)
    box = admin.locator("[name=document_json]")
    for number, changes in enumerate(DOCUMENTS):
        document = {
            "rule_id": f"json-{number}",
            "name": f"Pasted {number}",
            "kind": "reward",
            "trigger": {"type": "event", "names": ["game.completed"]},
            "conditions": {},
            "effects": [credit({"type": "fixed", "amount": 5})],
            "limits": {},
            "priority": 0,
            **changes,
        }
        box.fill(json.dumps(document))
        expect(admin.locator("[name=name]")).to_have_value(f"Pasted {number}")

        admin.fill("[name=priority]", str(number + 1))

        expect(box).to_have_value(re.compile(f'"priority": {number + 1}\\b'))
        assert json.loads(box.input_value()) == document | {"priority": number + 1}


def test_faults_stand_where_they_belong_and_go_away(admin: Page, phoenix: RunningPhoenix) -> None:
    open_builder(admin, phoenix, rule_id="faulty", name="Faulty")
    place(admin, "trigger.names.0").fill("game.*.x")
    admin.locator("[data-add=condition]").click()
    place(admin, "conditions.conditions.0.field").fill("score")
    admin.locator("[data-add=effect]").click()
    place(admin, "effects.0.currency_id").select_option("gold")
    place(admin, "effects.0.amount.amount").fill("five")
    admin.fill("[name=timezone]", "Mars/One")

    for path, text in (
        ("trigger.names.0", "Must be an event type"),
        ("conditions.conditions.0", "is not a known path"),
        ("effects.0", "must be a number"),
    ):
        node = place(admin, path).locator("xpath=ancestor-or-self::*[@data-node][1]")
        expect(node.locator("> .phoenix-fault")).to_contain_text(text)
    expect(place(admin, "effects.0.amount.amount")).to_have_attribute("aria-invalid", "true")
    expect(admin.locator(".phoenix-fault", has_text="IANA time zone")).to_be_visible()
    expect(part(admin, "check")).to_contain_text("4 things to correct")

    place(admin, "trigger.names.0").fill("game.completed")
    place(admin, "conditions.conditions.0.field").fill("attrs.score")
    place(admin, "effects.0.amount.amount").fill("5")
    admin.fill("[name=timezone]", "")
    expect(part(admin, "check")).to_contain_text("Complete and valid")
    expect(admin.locator(".phoenix-fault")).to_have_count(0)


def test_the_tree_is_built_with_the_keyboard_alone(admin: Page, phoenix: RunningPhoenix) -> None:
    open_builder(admin, phoenix, rule_id="keys", name="Keys")
    admin.locator("[data-add=condition]").focus()

    admin.keyboard.press("Enter")
    admin.keyboard.type("attrs.bet")
    expect(place(admin, "conditions.conditions.0.field")).to_be_focused()
    for _field_operator_kind in range(3):
        admin.keyboard.press("Tab")
    admin.keyboard.type("20")
    expect(place(admin, "conditions.conditions.0.value")).to_be_focused()
    admin.keyboard.press("Tab")
    expect(admin.get_by_label("Remove this condition")).to_be_focused()
    admin.keyboard.press("Tab")
    admin.keyboard.press("Tab")
    admin.keyboard.press("Enter")
    expect(place(admin, "conditions.conditions.1")).to_be_visible()
    admin.get_by_label("Remove this condition").focus()
    admin.keyboard.press("Enter")

    expect(place(admin, "conditions.conditions.1")).to_have_count(0)
    expect(place(admin, "conditions.conditions.0")).to_have_class(re.compile("phoenix-group"))


def test_a_rule_is_saved_where_the_editors_do_not_load(
    browser: Browser, phoenix: RunningPhoenix, sandbox: dict[str, Any]
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/phoenix/rule_*.js", lambda route: route.abort())
    _sign_in(page, phoenix)
    page.goto(f"{phoenix.base_url}{RULES}add/")
    page.select_option("[name=tenant]", "test-tenant")
    page.fill("[name=name]", "Plain")
    page.fill("[name=rule_id]", "plain")
    page.fill("[name=event_names]", '["game.completed"]')
    page.fill("[name=conditions]", json.dumps(TREE))
    page.fill("[name=effects]", json.dumps([credit({"type": "fixed", "amount": 5})]))

    page.click("[name=_save]")
    expect(page.locator("body")).to_contain_text("was added successfully")

    headers = {"X-API-Key": sandbox["admin_api_key"]}
    answer = httpx.get(f"{phoenix.base_url}/v1/tenants/test-tenant/rules/plain", headers=headers)
    context.close()
    assert answer.json()["conditions"] == TREE


def test_a_backtest_runs_and_shows_its_report(
    admin: Page, phoenix: RunningPhoenix, send: Send
) -> None:
    for number in range(3):
        send(f"backtest-{number}", 60)
    admin.goto(f"{phoenix.base_url}{RULES}?q=good-game")
    row = admin.locator("#result_list tr", has_text="test-tenant")
    row.get_by_role("link").first.click()
    _wait_for(admin, admin.url, "backtest-2")
    admin.get_by_role("link", name="Backtest").click()

    admin.get_by_role("button", name="Run the backtest").click()

    expect(admin.locator(".phoenix-days rect").last).to_be_visible(timeout=PATIENCE_MS)
    expect(admin.locator("section", has_text="Top recipients").last).to_contain_text("backtest-1")
    admin.get_by_role("link", name="Apply to the past").click()
    expect(admin.locator(".phoenix-confirm")).to_contain_text("get nothing again")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_rewards_scrolls_sideways(
    browser: Browser, phoenix: RunningPhoenix, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    _sign_in(page, phoenix)
    page.goto(f"{phoenix.base_url}{RULES}?q=good-game")
    row = page.locator("#result_list tr", has_text="test-tenant")
    own = str(row.get_by_role("link").first.get_attribute("href")).split("change/")[0]

    wide = [
        path
        for path in (
            *("/admin/", RULES, f"{RULES}add/", f"{own}change/", f"{own}change/?edit=1"),
            *(f"{own}versions/", f"{own}backtests/", f"{own}pause/", f"{RULES}why/"),
            "/admin/rewards/participant/",
        )
        if _overflow(page, f"{phoenix.base_url}{path}") > 0
    ]

    context.close()
    assert wide == []


def _sign_in(page: Page, phoenix: RunningPhoenix) -> None:
    page.goto(f"{phoenix.base_url}/admin/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    expect(page).to_have_url(f"{phoenix.base_url}/admin/")


def _overflow(page: Page, url: str) -> int:
    page.goto(url)
    page.wait_for_load_state("networkidle")
    root = "document.documentElement"
    return int(page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))


def _wait_for(page: Page, url: str, text: str) -> None:
    """Look at a page until the workers came to what it tells."""
    for _look in range(60):
        page.goto(url)
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(250)
    expect(page.locator("body")).to_contain_text(text)
