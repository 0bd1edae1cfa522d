"""What the tests of the ingestion gateway send: the sandbox tenant's tokens, signatures, events."""

import hashlib
import hmac
import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tenants.constants import (
    SANDBOX_API_KEY,
    SANDBOX_API_KEY_ID,
    SANDBOX_TENANT_ID,
    SANDBOX_TENANT_SECRET,
)
from tenants.rules import foreign_tokens
from tests.doors import Door

TENANT, SECRET, KEY, KEY_ID = (
    SANDBOX_TENANT_ID,
    SANDBOX_TENANT_SECRET,
    SANDBOX_API_KEY,
    SANDBOX_API_KEY_ID,
)
_numbers = itertools.count(1)


def tenant_token(**claims: Any) -> str:
    now = int(time.time())
    payload = {
        "sub": "user_123",
        "sub_type": "tenant",
        "sub_id": TENANT,
        "iat": now,
        "exp": now + 3600,
    }
    return foreign_tokens.sign_token(payload | claims, SECRET)


def admin_token() -> str:
    now = int(time.time())
    payload = {
        "sub": "admin_user",
        "sub_type": "admin",
        "sub_id": KEY_ID,
        "iat": now,
        "exp": now + 3600,
    }
    return foreign_tokens.sign_token(payload, KEY)


def event(**changes: Any) -> dict[str, Any]:
    """Return a valid event with a fresh id; ``...`` leaves a field out."""
    full = {
        "event_id": f"evt_{next(_numbers)}",
        "type": "game.completed",
        "actor": {"user_id": "user-123", "metadata": {"region": "na-east"}},
        "occurred_at": datetime.now(UTC).isoformat(),
        "attrs": {"score_delta": 50, "source": "smoke-test"},
    } | changes
    return {name: value for name, value in full.items() if value is not ...}


def signature(
    method: str, path: str, body: bytes, *, timestamp: int | None = None, last_feed: bool = True
) -> dict[str, str]:
    """Return the headers of a signed request."""
    stamp = str(int(time.time()) if timestamp is None else timestamp)
    head = f"{method}\n{path}\n{stamp}".encode() + (b"\n" if last_feed else b"")
    digest = hmac.new(SECRET.encode(), head + body, hashlib.sha256).hexdigest()
    return {
        "X-Tenant-Id": TENANT,
        "X-Timestamp": stamp,
        "X-Signature": f"hmac-sha256={digest}",
    }


def send(door: Door, body: Any, *, path: str = "/v1/events", **more: Any) -> httpx.Response:
    """Send events with a valid token, or whatever ``headers`` say; ``bytes`` go out as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | more.pop("headers", {})
    if not more.pop("anonymous", False):
        headers = {"Authorization": f"Bearer {tenant_token()}"} | headers
    return door.ask("POST", path, content=content, headers=headers, **more)


def send_bulk(door: Door, events: Any, **more: Any) -> httpx.Response:
    return send(door, events, path="/v1/events/bulk", **more)


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()
