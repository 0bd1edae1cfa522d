import json
import re
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from ingestion.models import Event
from phoenix_site.common.times import parse_rfc3339
from phoenix_site.urls import ops_urlpatterns
from tenants.constants import (
    SANDBOX_API_KEY,
    SANDBOX_API_KEY_ID,
    SANDBOX_TENANT_ID,
    SANDBOX_TENANT_SECRET,
)
from tenants.rules import foreign_tokens
from tenants.services import sandbox as sandboxes

pytestmark = pytest.mark.django_db


@pytest.fixture
def html(client: Client) -> str:
    return client.get("/").content.decode()


@pytest.fixture
def sandbox(db: None) -> None:
    sandboxes.repair_sandbox_tenant(
        SANDBOX_TENANT_ID,
        name="Sandbox",
        tenant_secret=SANDBOX_TENANT_SECRET,
        api_key_id=SANDBOX_API_KEY_ID,
        api_key=SANDBOX_API_KEY,
        now=datetime.now(UTC),
    )


def facts_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script id="demo-facts" type="application/json">(.*?)</script>', html)
    assert found is not None
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def test_the_page_explains_itself_and_leads_on(html: str) -> None:
    assert "Global Weekly XP" in html
    assert 'href="/docs/"' in html
    assert 'href="/admin/"' in html
    assert "<noscript>" in html


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(client: Client) -> None:
    answer = client.get("/")

    html = answer.content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
    assert not re.findall(r"<script(?![^>]*(?:src=|application/json))", html)
    assert not re.findall(r"\s(?:style|on[a-z]+)=", html)
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]


def test_the_page_has_a_players_token_of_the_sandbox(html: str) -> None:
    token = facts_of(html)["token"]
    claims = foreign_tokens.read_claims(token["token"], sub_type="tenant")

    assert (claims.subject_id, claims.user_id) == (SANDBOX_TENANT_ID, "user-123")
    assert foreign_tokens.expiry_of(claims) == parse_rfc3339(token["expires_at"])


def test_a_token_for_another_player(client: Client) -> None:
    answer = client.get("/demo/token", {"user_id": "ana"})
    refused = client.get("/demo/token", {"user_id": "a\nb"})

    assert answer.json()["user_id"] == "ana"
    assert (refused.status_code, refused.json()["code"]) == (400, "VAL_001")
    assert client.post("/demo/token").status_code == 405


def test_the_curl_line_sends_an_event_that_is_accepted(
    client: Client, html: str, sandbox: None
) -> None:
    line = re.search(r'<code data-part="curl">(.*?)</code>', html, re.DOTALL)
    assert line is not None
    text = line[1].replace("&quot;", '"').replace("&#x27;", "'").replace("\\\n", "")
    words = shlex.split(text)
    assert words[:4] == ["curl", "-X", "POST", "http://testserver/v1/events"]
    assert words[6:9:2] == ["-H", "-d"]

    answer = client.post(
        "/v1/events",
        data=words[9],
        content_type=words[7].removeprefix("Content-Type: "),
        headers={"Authorization": words[5].removeprefix("Authorization: ")},
    )

    assert answer.status_code == 202, answer.content
    assert Event.objects.get().user_id == "user-123"


def test_the_page_exists_only_in_a_sandbox(settings: Any) -> None:
    settings.PHOENIX_ENV = "prod"

    assert not [
        each for each in ops_urlpatterns() if "demo" in str(getattr(each, "urlconf_name", ""))
    ]
