"""The outbox: calls that Phoenix owes other systems, written first and sent afterwards.

A handler in ``PHOENIX_DELIVERY_HANDLERS`` hears how a delivery of its kind ended, in the
transaction that closes the row. It may hear ``failed`` and later, after a retry by staff,
``delivered``; it may hear the same outcome once only.
"""

import base64
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from phoenix_site.common import json, outbound
from phoenix_site.common.crypto import decrypt_text
from phoenix_site.common.exceptions import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from phoenix_site.common.ids import new_id
from phoenix_site.common.logging import get_logger
from phoenix_site.common.nudges import nudge_task
from tenants.constants import (
    ANSWER_KEPT_BYTES,
    DELIVERIES_KEPT,
    DELIVERY_LEASE,
    DELIVERY_STALE_SECONDS,
    DELIVERY_TIMEOUT_SECONDS,
    PURGE_BATCH,
)
from tenants.exceptions import IdempotencyConflictError
from tenants.models import Delivery, DeliveryAttempt, SigningKey, Tenant
from tenants.rules.deliveries import (
    Outcome,
    address_of,
    kind_of,
    next_pause,
    retry_after_of,
    verdict_of,
)
from tenants.selectors.deliveries import (
    busy_tenant_ids_across_tenants,
    due_deliveries_across_tenants,
)
from tenants.services import audit, signing_keys
from tenants.types import Actor, AuditChange

log = get_logger(__name__)

Clock = Callable[[], datetime]

_NO_ADDRESS: Final = "no_address"
_LOST: Final = "lost"
_HANDLER_FAILED: Final = "handler_failed"
_CANCELLED: Final = "cancelled"
_OWN_HEADERS: Final = frozenset(
    {"content-type", "x-request-id", "signature", "signature-key-id", "user-agent"}
)
# Jitter spreads load; nobody gains by guessing it.
_rng = random.Random()  # noqa: S311


@dataclass(frozen=True, slots=True)
class _Claim:
    """A delivery that this sender alone may send until the lease ends."""

    delivery: Delivery
    attempt: DeliveryAttempt
    url: str | None
    ports: tuple[int, ...]
    taken_at: float


@dataclass(frozen=True, slots=True)
class _Result:
    """What an attempt brought: an answer, or the word for why there was none."""

    answer: outbound.OutboundAnswer | None
    error: str = ""

    @property
    def status(self) -> int | None:
        return self.answer.status if self.answer is not None else None


def enqueue(
    *,
    tenant_id: str,
    kind: str,
    key: str,
    path_or_url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    reference: str,
    order_key: str = "",
    now: datetime,
) -> Delivery:
    """Owe a call: it is sent soon after the caller's transaction has committed, not before.

    ``path_or_url`` beginning with ``/`` is a path below the tenant's ``operator_base_url`` at the
    time of each attempt. The body is written as JSON once and is the same on every attempt; times,
    UUIDs and decimals in it are rendered. ``kind`` decides which answers succeed
    (``tenants.rules.deliveries``) and who hears of the end. Deliveries with one ``order_key`` go
    one after the other.

    Raises: ``InvalidInputError`` for headers that may not be set; ``IdempotencyConflictError``
    when the tenant used ``key`` for a delivery of another kind.
    Repeats: the same ``key`` returns the first delivery and owes nothing more.
    """
    _check_headers(headers)
    wait = kind_of(kind).order_wait
    new: dict[str, Any] = {
        "kind": kind,
        "target": path_or_url,
        "headers": {name.lower(): value for name, value in headers.items()},
        "body": json.encode(json.rendered(dict(body))).decode(),
        "reference": reference,
        "order_key": order_key,
        "ordered_until": now + wait if order_key and wait is not None else None,
        "due_at": now + timedelta(seconds=settings.PHOENIX_RETRY_SCHEDULE[0]),
        "created_at": now,
    }
    delivery, is_new = Delivery.objects.get_or_create(tenant_id=tenant_id, key=key, defaults=new)
    if is_new:
        nudge_task(settings.PHOENIX_DELIVERY_TASK)
    elif delivery.kind != kind:
        raise IdempotencyConflictError(f"{key} was used for another delivery.")
    return delivery


def deliver_due(*, clock: Clock, seconds: float) -> int:
    """Send what is due, one after the other, for at most about ``seconds``; return how many.

    Any number of senders may run at once: each delivery is held by one of them.
    """
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        claim = _claim_next(now=clock())
        if claim is None:
            break
        _deliver(claim, clock=clock)
        count += 1
    return count


def deliver_one(delivery_id: UUID, *, clock: Clock) -> bool:
    """Send this delivery if it is due and nobody else holds it; return whether it was sent."""
    claim = _claim_next(now=clock(), delivery_id=delivery_id)
    if claim is None:
        return False
    _deliver(claim, clock=clock)
    return True


@transaction.atomic
def retry_delivery(delivery_id: UUID, *, actor: Actor, now: datetime, reason: str = "") -> Delivery:
    """Send a failed delivery again, or a waiting one at once, on a schedule that begins anew.

    Raises: ``NotFoundError``; ``ConflictError`` when it was delivered. Locks: the delivery.
    Repeats: what is being sent at the moment stays as it is.
    """
    delivery = Delivery.objects.select_for_update().filter(pk=delivery_id).first()
    if delivery is None:
        raise NotFoundError("There is no such delivery.")
    if delivery.state == Delivery.State.DELIVERED:
        raise ConflictError("The delivery has arrived; there is nothing to send again.")
    if delivery.claim is not None and delivery.due_at > now:
        return delivery
    before = {"state": delivery.state, "attempt_count": delivery.attempt_count}
    delivery.state, delivery.closed_at = Delivery.State.PENDING, None
    delivery.due_at, delivery.step = now, 0
    delivery.save(update_fields=["state", "closed_at", "due_at", "step"])
    about = AuditChange("delivery", str(delivery.pk), str(delivery), before, {"state": "pending"})
    audit.record(
        "delivery.retried",
        actor=actor,
        now=now,
        tenant_id=delivery.tenant_id,
        change=about,
        reason=reason,
    )
    nudge_task(settings.PHOENIX_DELIVERY_TASK)
    return delivery


@transaction.atomic
def cancel_delivery(*, tenant_id: str, key: str, now: datetime) -> bool:
    """Give up a waiting delivery; return whether it will not be sent any more.

    One that is being sent at the moment is left alone. Its handler hears nothing. Locks: the
    delivery, without waiting for whoever has it. Repeats: harmless.
    """
    rows = Delivery.objects.select_for_update(skip_locked=True)
    delivery = rows.filter(tenant_id=tenant_id, key=key, claim__isnull=True).first()
    if delivery is None or delivery.state != Delivery.State.PENDING:
        return delivery is not None and delivery.state == Delivery.State.FAILED
    delivery.last_error = _CANCELLED
    _close(delivery, "failed", now=now)
    return True


def purge_closed(*, now: datetime) -> int:
    """Delete one batch of deliveries that ended long ago, with their attempts; return how many."""
    ended = Delivery.objects.filter(closed_at__lte=now - DELIVERIES_KEPT).order_by("closed_at")
    chosen = list(ended.values_list("pk", flat=True)[:PURGE_BATCH])
    Delivery.objects.filter(pk__in=chosen).delete()
    return len(chosen)


def _check_headers(headers: Mapping[str, str]) -> None:
    outbound.check_headers(headers)
    taken = sorted(_OWN_HEADERS.intersection(name.lower() for name in headers))
    if taken:
        raise InvalidInputError(f"The header {taken[0]} is set by every delivery itself.")


# --- Taking --------------------------------------------------------------------------------------


@transaction.atomic
def _claim_next(*, now: datetime, delivery_id: UUID | None = None) -> _Claim | None:
    """Hold the longest due delivery, or that of ``delivery_id``; ``None`` when there is none.

    Locks: the delivery until the claim is committed; one that another sender takes is skipped.
    """
    due = due_deliveries_across_tenants(now=now)
    if delivery_id is None:
        due = due.exclude(tenant_id__in=busy_tenant_ids_across_tenants(now=now))
    else:
        due = due.filter(pk=delivery_id)
    delivery = due.select_for_update(skip_locked=True, of=("self",)).first()
    if delivery is None:
        return None
    # An attempt without an end that is due again: whoever made it is gone.
    DeliveryAttempt.objects.filter(delivery=delivery, ended_at__isnull=True).update(
        ended_at=now, error=_LOST
    )
    delivery.attempt_count += 1
    attempt = DeliveryAttempt.objects.create(
        delivery=delivery,
        number=delivery.attempt_count,
        request_id=new_id(),
        started_at=now,
    )
    delivery.claim, delivery.due_at = attempt.pk, now + DELIVERY_LEASE
    delivery.save(update_fields=["claim", "due_at", "attempt_count"])
    tenant = Tenant.objects.only("operator_base_url", "outbound_ports").get(pk=delivery.tenant_id)
    url = address_of(delivery.target, tenant.operator_base_url)
    return _Claim(delivery, attempt, url, tuple(tenant.outbound_ports), time.monotonic())


# --- Sending -------------------------------------------------------------------------------------


def _deliver(claim: _Claim, *, clock: Clock) -> None:
    result = _send(claim, now=clock())
    now = clock()
    try:
        _record(claim, result, now=now)
    except Exception:
        # Whatever a handler does, the other deliveries go on.
        log.exception("delivery.handler_failed", delivery=str(claim.delivery.pk))
        _record_handler_fault(claim, result, now=now)


def _send(claim: _Claim, *, now: datetime) -> _Result:
    if claim.url is None:
        return _Result(None, _NO_ADDRESS)
    body = claim.delivery.body.encode()
    headers = claim.delivery.headers | _own_headers(body, claim.attempt.request_id, now=now)
    if time.monotonic() - claim.taken_at > DELIVERY_STALE_SECONDS:
        return _Result(None, _LOST)
    try:
        answer = outbound.post(
            claim.url,
            body=body,
            headers=headers,
            timeout=DELIVERY_TIMEOUT_SECONDS,
            ports=claim.ports,
        )
    except outbound.OutboundError as exc:
        return _Result(None, exc.code)
    return _Result(answer)


def _own_headers(body: bytes, request_id: str, *, now: datetime) -> dict[str, str]:
    """Return what every delivery carries, signed over the exact body (06/WAL-1)."""
    kid, signature = _signed(body, now=now)
    return {
        "content-type": "application/json",
        "user-agent": "Phoenix",
        "x-request-id": request_id,
        "signature": signature,
        "signature-key-id": kid,
    }


def _signed(body: bytes, *, now: datetime) -> tuple[str, str]:
    key = signing_keys.ensure_signing_key(SigningKey.Purpose.OUTBOUND.value, now=now)
    private = load_pem_private_key(decrypt_text(key.ciphertext).encode(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise UnavailableError("The signing key is of another kind.")
    signature = base64.urlsafe_b64encode(private.sign(body)).rstrip(b"=")
    return key.kid, signature.decode()


# --- Recording -----------------------------------------------------------------------------------


@transaction.atomic
def _record(claim: _Claim, result: _Result, *, now: datetime) -> None:
    """Write down what the attempt brought; close the delivery, or put it off.

    Locks: the delivery. A sender whose lease ended meanwhile only completes its attempt.
    """
    delivery = _ended_attempt(claim, result, now=now)
    if delivery is None:
        return
    delivery.last_error = result.error
    verdict = verdict_of(kind_of(delivery.kind), result.status)
    if verdict == "retry" and _put_off(delivery, result, now=now):
        return
    _close(delivery, "delivered" if verdict == "delivered" else "failed", now=now)
    _tell_handler(delivery, now=now)


@transaction.atomic
def _record_handler_fault(claim: _Claim, result: _Result, *, now: datetime) -> None:
    """Put a delivery off whose end its handler could not take; at last it fails, untold."""
    delivery = _ended_attempt(claim, result, now=now)
    if delivery is None:
        return
    delivery.last_error = _HANDLER_FAILED
    if not _put_off(delivery, result, now=now):
        _close(delivery, "failed", now=now)


def _ended_attempt(claim: _Claim, result: _Result, *, now: datetime) -> Delivery | None:
    """Complete the attempt; return its delivery, locked, unless another sender has it by now."""
    answer = result.answer
    DeliveryAttempt.objects.filter(pk=claim.attempt.pk).update(
        ended_at=now,
        status=result.status,
        error=result.error,
        milliseconds=answer.milliseconds if answer is not None else None,
        answer=_legible(answer.body) if answer is not None else "",
    )
    held = Delivery.objects.select_for_update(no_key=True).filter(
        pk=claim.delivery.pk, claim=claim.attempt.pk
    )
    delivery = held.first()
    if delivery is not None:
        delivery.claim, delivery.last_status = None, result.status
    return delivery


def _put_off(delivery: Delivery, result: _Result, *, now: datetime) -> bool:
    """Plan the next attempt; return ``False`` when the schedule has none left."""
    headers = result.answer.headers if result.answer is not None else {}
    pause = next_pause(
        settings.PHOENIX_RETRY_SCHEDULE,
        delivery.step + 1,
        retry_after=retry_after_of(result.status, headers, now=now),
        rng=_rng,
    )
    if pause is None:
        return False
    delivery.step, delivery.due_at = delivery.step + 1, now + pause
    delivery.save(update_fields=["claim", "step", "due_at", "last_status", "last_error"])
    log.info("delivery.put_off", **_facts(delivery), seconds=round(pause.total_seconds()))
    return True


def _close(delivery: Delivery, state: Outcome, *, now: datetime) -> None:
    delivery.state, delivery.closed_at = state, now
    delivery.save(update_fields=["claim", "state", "closed_at", "last_status", "last_error"])
    say = log.info if state == "delivered" else log.error
    say(f"delivery.{state}", **_facts(delivery))


def _tell_handler(delivery: Delivery, *, now: datetime) -> None:
    path = settings.PHOENIX_DELIVERY_HANDLERS.get(delivery.kind)
    if path is not None:
        import_string(path)(
            delivery_id=delivery.pk, outcome=delivery.state, status=delivery.last_status, now=now
        )


def _facts(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery": str(delivery.pk),
        "tenant": delivery.tenant_id,
        "kind": delivery.kind,
        "attempt": delivery.attempt_count,
        "status": delivery.last_status,
        "error": delivery.last_error,
    }


def _legible(body: bytes) -> str:
    """Return the beginning of an answer as text that the database takes."""
    return body[:ANSWER_KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
