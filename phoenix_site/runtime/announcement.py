"""What a person reads when Phoenix is ready: what to open and what to call."""

from __future__ import annotations

import json
import textwrap
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from jwt.warnings import InsecureKeyLengthWarning

PLAYER = "user-123"
TOKEN_SECONDS = 24 * 3600


def ready_text(base_url: str, *, seconds: float, sandbox_file: Path | None) -> str:
    """Return the text for a Phoenix that took ``seconds`` to answer at ``base_url``."""
    lines = [
        f"Phoenix is ready at {base_url} ({seconds:.1f} s). Ctrl-C stops it.",
        "",
        f"  Live board    {base_url}/",
        f"  Admin         {base_url}/admin/",
        f"  API docs      {base_url}/docs/",
    ]
    if sandbox_file is not None:
        sandbox = json.loads(sandbox_file.read_text(encoding="utf-8"))
        lines += _credentials(sandbox, sandbox_file) + _calls(sandbox, base_url)
    return "\n" + "\n".join(lines) + "\n\n"


def _credentials(sandbox: dict[str, Any], sandbox_file: Path) -> list[str]:
    staff = sandbox.get("staff", {})
    return [
        f"  Staff login   {staff.get('username', '')} / {staff.get('password', '')}",
        f"  Tenant        {sandbox['tenant_id']}, secret {sandbox['tenant_secret']}",
        f"  API key       {sandbox['admin_api_key']}",
        f"  Everything    {sandbox_file}",
    ]


def _calls(sandbox: dict[str, Any], base_url: str) -> list[str]:
    token = player_token(sandbox)
    event = {
        "event_id": f"evt_smoke_{int(time.time())}",
        "type": "game.completed",
        "actor": {"user_id": PLAYER},
        "occurred_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "attrs": {"score_delta": 50, "source": "smoke-test"},
    }
    score_path = f"/v1/leaderboards/{sandbox['leaderboard_id']}/score/{PLAYER}"
    calls = [
        f"curl -H 'X-API-Key: {sandbox['admin_api_key']}' {base_url}/health",
        f"curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' "
        f"-d '{json.dumps(event, separators=(',', ':'))}' {base_url}/v1/events",
        f"curl -H 'Authorization: Bearer {token}' '{base_url}{score_path}'",
    ]
    return ["", "  Try it:", "", *[textwrap.indent(call, "  ") for call in calls]]


def player_token(sandbox: dict[str, Any]) -> str:
    """Return a token for ``PLAYER`` such as the tenant's own back end would make."""
    now = int(time.time())
    claims = {
        "sub": PLAYER,
        "sub_type": "tenant",
        "sub_id": sandbox["tenant_id"],
        "iat": now,
        "exp": now + TOKEN_SECONDS,
    }
    with warnings.catch_warnings():
        # The sandbox's published secret is short; real ones are made long enough.
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        return jwt.encode(claims, sandbox["tenant_secret"], algorithm="HS256")
