"""The sandbox of spec 01 ING-60 and spec 07 OPS-5: two tenants, a board and a staff login.

Everything is created or brought back to what it should be, so seeding may run at every start.
"""

import json
import os
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from ingestion.services import retention
from leaderboards.models import Leaderboard
from leaderboards.services import boards
from leaderboards.services import sandbox as leaderboards_sandbox
from phoenix_site.common.ids import new_id
from players.services import sandbox as players_sandbox
from rewards.services import sandbox as rewards_sandbox
from tenants.constants import (
    SANDBOX_API_KEY,
    SANDBOX_API_KEY_ID,
    SANDBOX_PLAYER_ID,
    SANDBOX_TENANT_ID,
    SANDBOX_TENANT_SECRET,
)
from tenants.services import sandbox as tenants_sandbox
from tenants.types import Actor

OTHER_TENANT_ID = "other-tenant"
STAFF_NAME = "admin"
BOARD_ID = "xp-weekly-global"
BOARD = {
    "leaderboard_id": BOARD_ID,
    "name": "Global Weekly XP",
    "description": "Experience points of this week, over all games.",
    "config": {
        "timeframe": {
            "type": "weekly",
            "timezone": "UTC",
            "reset_day": "monday",
            "reset_time": "00:00",
        },
        "scoring": {
            "rules": [{"event_type": "game.completed", "points_expression": "attrs.score_delta"}],
            "aggregation": "sum",
        },
        "ranking": {"method": "score_desc"},
    },
}
SEEDER = Actor("system", "seed_sandbox", "seed_sandbox")
TOKEN_LIFE = timedelta(hours=1)


def sandbox_path() -> Path:
    """Return where the sandbox document lies."""
    return settings.PHOENIX_DATA_DIR / "sandbox.json"


def seed_sandbox(*, now: datetime, is_reset: bool = False) -> dict[str, Any]:
    """Create or repair the sandbox, write its document (0600) and return it with fresh tokens."""
    known = _known_document()
    other = known.get("other", {})
    if is_reset:
        for tenant_id in (SANDBOX_TENANT_ID, OTHER_TENANT_ID):
            _empty(tenant_id)
    document: dict[str, Any] = _address() | _tenant(
        SANDBOX_TENANT_ID,
        name="Sandbox",
        secret=SANDBOX_TENANT_SECRET,
        key_id=SANDBOX_API_KEY_ID,
        key=SANDBOX_API_KEY,
        now=now,
    )
    document["other"] = _address() | _tenant(
        OTHER_TENANT_ID,
        name="Other sandbox",
        secret=other.get("tenant_secret") or f"sk_sandbox_{secrets.token_hex(32)}",
        key_id=other.get("admin_api_key_id") or new_id(),
        key=other.get("admin_api_key") or f"pk_sandbox_{secrets.token_hex(36)}",
        now=now,
    )
    document["staff"] = _staff(known.get("staff", {}).get("password"))
    _write(document)
    return document | {"tokens": _tokens(now)}


def _empty(tenant_id: str) -> None:
    # Together, so that nothing is ever scored from half of the events.
    with transaction.atomic():
        leaderboards_sandbox.empty_tenant(tenant_id)
        rewards_sandbox.empty_tenant(tenant_id)
        players_sandbox.empty_tenant(tenant_id)
        retention.empty_tenant(tenant_id)


def _known_document() -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(sandbox_path().read_text())
    except (OSError, ValueError):
        return {}
    return document


def _address() -> dict[str, str]:
    base_url = settings.PHOENIX_BASE_URL.rstrip("/")
    return {"base_url": base_url, "ws_url": "ws" + base_url.removeprefix("http")}


def _tenant(
    tenant_id: str, *, name: str, secret: str, key_id: str, key: str, now: datetime
) -> dict[str, str]:
    tenants_sandbox.repair_sandbox_tenant(
        tenant_id, name=name, tenant_secret=secret, api_key_id=key_id, api_key=key, now=now
    )
    _board(tenant_id, now)
    rewards_sandbox.repair_sandbox(tenant_id, actor=SEEDER, now=now)
    return {
        "tenant_id": tenant_id,
        "tenant_secret": secret,
        "admin_api_key": key,
        "admin_api_key_id": key_id,
        "leaderboard_id": BOARD_ID,
    }


def _board(tenant_id: str, now: datetime) -> None:
    board = Leaderboard.objects.filter(tenant_id=tenant_id, leaderboard_id=BOARD_ID).first()
    if board is None:
        boards.create_board(tenant_id, BOARD, actor=SEEDER, now=now)
    elif board.status == Leaderboard.Status.INACTIVE:
        boards.patch_board(tenant_id, BOARD_ID, {"status": "active"}, actor=SEEDER, now=now)


def _staff(known_password: str | None) -> dict[str, str]:
    password = settings.PHOENIX_ADMIN_PASSWORD or known_password or secrets.token_urlsafe(12)
    user, _ = get_user_model().objects.get_or_create(
        username=STAFF_NAME, defaults={"is_staff": True, "is_superuser": True}
    )
    if not user.check_password(password) or not (user.is_staff and user.is_superuser):
        user.set_password(password)
        user.is_staff = user.is_superuser = user.is_active = True
        user.save()
    return {"username": STAFF_NAME, "password": password}


def _tokens(now: datetime) -> dict[str, str]:
    times = {"iat": int(now.timestamp()), "exp": int((now + TOKEN_LIFE).timestamp())}
    player = {"sub": SANDBOX_PLAYER_ID, "sub_type": "tenant", "sub_id": SANDBOX_TENANT_ID}
    admin = {"sub": "admin_user", "sub_type": "admin", "sub_id": SANDBOX_API_KEY_ID}
    return {
        "tenant_jwt": jwt.encode(player | times, SANDBOX_TENANT_SECRET, algorithm="HS256"),
        "admin_jwt": jwt.encode(admin | times, SANDBOX_API_KEY, algorithm="HS256"),
    }


def _write(document: Mapping[str, Any]) -> None:
    path = sandbox_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(document, indent=2) + "\n")
    # Replaced in one step, so that a reader never sees half a document.
    draft.replace(path)
