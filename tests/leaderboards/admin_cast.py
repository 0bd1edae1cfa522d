"""A back office for tests: an API key of a tenant and the calls it makes."""

from typing import Any

from django.test import Client

from leaderboards.types import BoardStatus
from phoenix_site.common.json import encode
from tenants.models import Tenant
from tests.tenants.cast import new_key


def config(**timeframe: Any) -> dict[str, Any]:
    return {
        "timeframe": {"type": "weekly", **timeframe},
        "scoring": {
            "rules": [{"event_type": "game.completed", "points_expression": "attrs.points"}]
        },
    }


class BackOffice:
    """What one key may ask of the admin gateway."""

    def __init__(self, tenant: Tenant, *more: Tenant, scopes: tuple[str, ...] = ("*",)) -> None:
        self.tenant = tenant
        self.key = new_key(tenant, *more, scopes=scopes).value
        self.boards = f"/v1/tenants/{tenant.pk}/leaderboards"
        self._client = Client()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self._client.generic(
            method,
            path,
            data=b"" if body is None else self._encode(body),
            content_type="application/json",
            headers={"X-API-Key": self.key, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def create(self, leaderboard_id: str = "xp", **changes: Any) -> Any:
        body = {"leaderboard_id": leaderboard_id, "name": "Experience", "config": config()}
        return self.ask("POST", self.boards, body | changes)

    def patch(self, board: str = "xp", /, **changes: Any) -> Any:
        return self.ask("PATCH", f"{self.boards}/{board}", changes)

    def set_status(self, status: BoardStatus, leaderboard_id: str = "xp") -> Any:
        return self.patch(leaderboard_id, status=status)

    def windows(self, leaderboard_id: str = "xp") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"{self.boards}/{leaderboard_id}/windows").json()[
            "windows"
        ]
        return found

    @staticmethod
    def _encode(body: Any) -> bytes:
        return body if isinstance(body, bytes) else encode(body)


def paths_of(answer: Any) -> set[str]:
    return {detail["field"] for detail in answer.json()["details"]}
