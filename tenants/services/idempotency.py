"""Idempotency keys: one request, one answer, however often it is sent (00 section 3).

A row is the promise of an answer before the work begins and holds the answer afterwards. Its unique
constraint decides which of several requests at once does the work.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from django.db import connection
from django.db.models import Q

from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.ids import uuid7
from tenants.constants import (
    IDEMPOTENCY_KEPT,
    IDEMPOTENCY_RUNNING,
    MAX_STORED_ANSWER_BYTES,
    PURGE_BATCH,
)
from tenants.exceptions import IdempotencyConflictError, IdempotencyInProgressError
from tenants.models import IdempotencyRecord
from tenants.types import IdempotencyScope, StoredAnswer

_MAX_KEY_LENGTH = 255
_MAX_PATH_LENGTH = 512
_FIRST_ERROR_OF_OURS = 500
_TOO_MANY_REQUESTS = 429

# Takes the key, also over from a record that is over or whose request was lost; returns nothing
# when somebody else holds it.
CLAIM: Final = """
INSERT INTO tenants_idempotencyrecord AS held
    (id, tenant_id, credential, method, path, key, content_hash, headers, started_at, expires_at)
VALUES (%(id)s, %(tenant)s, %(credential)s, %(method)s, %(path)s, %(key)s, %(hash)s, '{}',
        %(now)s, %(ends)s)
ON CONFLICT (tenant_id, credential, method, path, key) DO UPDATE SET
    id = excluded.id, content_hash = excluded.content_hash, headers = '{}', status = NULL,
    body = NULL, started_at = excluded.started_at, expires_at = excluded.expires_at
WHERE held.expires_at <= excluded.started_at
    OR (held.status IS NULL AND held.started_at <= %(lost)s)
RETURNING held.id
"""


def check_key(key: str) -> str:
    """Return ``key``. Raises: ``InvalidInputError`` unless it is 1 to 255 visible ASCII."""
    if 1 <= len(key) <= _MAX_KEY_LENGTH and all("!" <= char <= "~" for char in key):
        return key
    message = f"must be 1 to {_MAX_KEY_LENGTH} visible ASCII characters"
    raise InvalidInputError(
        f"Idempotency-Key {message}.", details=[Detail("Idempotency-Key", message, "bad_value")]
    )


def content_hash(query: str, body: bytes) -> bytes:
    """Return what tells two requests with one key apart."""
    return hashlib.sha256(query.encode("utf-8", "surrogateescape") + b"\n" + body).digest()


def begin_request(
    scope: IdempotencyScope, digest: bytes, *, now: datetime
) -> StoredAnswer | IdempotencyRecord:
    """Return the stored answer, or the record under which the work may begin now.

    Raises: ``IdempotencyConflictError`` for another request with this key,
    ``IdempotencyInProgressError`` while the first one has not answered.
    """
    record_id = _claim(scope, digest, now)
    held = IdempotencyRecord.objects.filter(**_columns(scope)).first()
    if held is None or (record_id is None and held.status is None):
        # Without a row: the first request failed and let the key go at this very moment.
        _refuse_other_content(held, digest)
        raise IdempotencyInProgressError("A request with this Idempotency-Key is still running.")
    if record_id == held.pk:
        return held
    _refuse_other_content(held, digest)
    return StoredAnswer(held.status or 0, held.headers, bytes(held.body or b""))


def finish_request(
    record: IdempotencyRecord, *, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Keep the answer; a fault of our own or "too many" is not kept, so that it can be tried again.

    Repeats: conditional on the record's id, so a request that lost its key changes nothing.
    """
    is_passing = status >= _FIRST_ERROR_OF_OURS or status == _TOO_MANY_REQUESTS
    if is_passing or len(body) > MAX_STORED_ANSWER_BYTES:
        abandon_request(record)
        return
    IdempotencyRecord.objects.filter(pk=record.pk).update(
        status=status, headers=dict(headers), body=body
    )


def abandon_request(record: IdempotencyRecord) -> None:
    """Let the key go without an answer."""
    IdempotencyRecord.objects.filter(pk=record.pk).delete()


def purge_expired(*, now: datetime, limit: int = PURGE_BATCH) -> int:
    """Delete at most ``limit`` records that are over and return how many."""
    ended = IdempotencyRecord.objects.filter(expires_at__lte=now).values("pk")[:limit]
    return IdempotencyRecord.objects.filter(Q(pk__in=ended)).delete()[0]


def _claim(scope: IdempotencyScope, digest: bytes, now: datetime) -> object:
    parameters = {
        "id": uuid7(),
        "tenant": scope.tenant_id,
        "credential": scope.credential,
        "method": scope.method,
        "path": _short(scope.path),
        "key": scope.key,
        "hash": digest,
        "now": now,
        "ends": now + IDEMPOTENCY_KEPT,
        "lost": now - IDEMPOTENCY_RUNNING,
    }
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, parameters)
        row = cursor.fetchone()
    return row[0] if row else None


def _columns(scope: IdempotencyScope) -> dict[str, str | None]:
    return {
        "tenant_id": scope.tenant_id,
        "credential": scope.credential,
        "method": scope.method,
        "path": _short(scope.path),
        "key": scope.key,
    }


def _short(path: str) -> str:
    # An index entry has a maximum; no two paths share a hash.
    if len(path) <= _MAX_PATH_LENGTH:
        return path
    return "sha256:" + hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


def _refuse_other_content(held: IdempotencyRecord | None, digest: bytes) -> None:
    if held is not None and bytes(held.content_hash) != digest:
        raise IdempotencyConflictError("This Idempotency-Key was used for another request.")
