"""When a credential was last used, written at most once a minute per process."""

import time
from datetime import datetime, timedelta
from typing import Final

import psycopg
from django.db import DatabaseError, connection

from phoenix_site.common import postgres
from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.logging import get_logger
from tenants.constants import LAST_USED_SECONDS, MAX_SNAPSHOTS

log = get_logger(__name__)

_noted: dict[str, float] = {}

# Many processes note the same credential; only the first within the time writes.
NOTE_USE: Final = """
UPDATE tenants_credential SET last_used_at = %s
WHERE id = %s AND (last_used_at IS NULL OR last_used_at < %s)
"""


def note_use(credential_id: str | None, now: datetime) -> None:
    """Remember that the credential was used; a failure to write is only logged."""
    if credential_id is None or not _is_due(credential_id):
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(NOTE_USE, _parameters(credential_id, now))
    except DatabaseError as exc:
        log.warning("credential.use_not_noted", error=type(exc).__name__)


async def anote_use(credential_id: str | None, now: datetime) -> None:
    """Do what ``note_use`` does, from a running event loop."""
    if credential_id is None or not _is_due(credential_id):
        return
    try:
        async with postgres.connection() as conn:
            await conn.execute(NOTE_USE, _parameters(credential_id, now))
    except (psycopg.Error, UnavailableError) as exc:
        log.warning("credential.use_not_noted", error=type(exc).__name__)


def forget_uses() -> None:
    """Let every credential be noted at its next use."""
    _noted.clear()


def _is_due(credential_id: str) -> bool:
    current = time.monotonic()
    if current - _noted.get(credential_id, -LAST_USED_SECONDS) < LAST_USED_SECONDS:
        return False
    if len(_noted) >= MAX_SNAPSHOTS:
        _noted.clear()
    # Before the write, so that of many requests at once only one waits for it.
    _noted[credential_id] = current
    return True


def _parameters(credential_id: str, now: datetime) -> tuple[datetime, str, datetime]:
    return now, credential_id, now - timedelta(seconds=LAST_USED_SECONDS)
