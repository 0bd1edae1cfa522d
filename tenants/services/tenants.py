"""Tenants: create, change, suspend and reinstate; every change is audited."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from phoenix_site.common import outbound
from phoenix_site.common.exceptions import Detail, InvalidInputError, NotFoundError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.zones import UnknownZoneError, load_zone
from tenants.constants import TENANT_LIMIT_CLASSES
from tenants.exceptions import TenantExistsError
from tenants.models import Membership, Tenant
from tenants.services import audit, snapshots
from tenants.types import Actor, AuditChange

log = get_logger(__name__)

_is_origin = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?").fullmatch

# What may change after creation; id, operator and environment are what other systems know it by.
SETTABLE: Final = (
    "name",
    "hmac_enabled",
    "ingestion_needs_scope",
    "accepts_older_shape",
    "max_future_seconds",
    "retention_days",
    "max_event_bytes",
    "allowed_origins",
    "public_player_fields",
    "limits",
    "max_sockets",
    "snapshot_retention_days",
    "timezone",
    "operator_base_url",
    "outbound_ports",
    "bonus_path",
    "bonus_mode",
)


@transaction.atomic
def create_tenant(
    tenant_id: str,
    *,
    name: str,
    environment: str,
    actor: Actor,
    now: datetime,
    operator_code: str = "",
    base_currency: str = "EUR",
    **chosen: Any,
) -> Tenant:
    """Create a tenant; ``operator_code`` is the id unless given, ``chosen`` are its settings.

    ``base_currency`` stays for ever: what was counted in it would mean something else.

    Raises: ``InvalidInputError`` with the faulty fields, ``TenantExistsError``.
    """
    _refuse_unknown(chosen)
    tenant = Tenant(
        id=tenant_id,
        name=name,
        environment=environment,
        operator_code=operator_code or tenant_id,
        base_currency=base_currency,
        **chosen,
    )
    check_operator_url(tenant.operator_base_url, ports=tenant.outbound_ports)
    _check(tenant)
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError as exc:
        raise TenantExistsError(f"{tenant_id}, or its operator in {environment}, exists.") from exc
    fixed = {
        "operator_code": tenant.operator_code,
        "environment": environment,
        "base_currency": base_currency,
    }
    after = fixed | _values(tenant)
    _record("tenant.created", tenant, actor=actor, now=now, before=None, after=after)
    return tenant


@transaction.atomic
def update_tenant(
    tenant_id: str, chosen: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Tenant:
    """Change settings of a tenant; other processes follow within two seconds.

    Raises: ``InvalidInputError`` with the faulty fields, ``NotFoundError``. Locks: the tenant's
    row against another change of settings, which event writers never take.
    """
    _refuse_unknown(chosen)
    # A name is looked up before anything is locked.
    if "operator_base_url" in chosen:
        _check_called(tenant_id, chosen)
    tenant = _locked(tenant_id)
    before = _values(tenant)
    for name, value in chosen.items():
        setattr(tenant, name, value)
    _check(tenant)
    old, new = audit.changes(before, _values(tenant))
    if new:
        tenant.save(update_fields=[*new, "updated_at"])
        _record("tenant.changed", tenant, actor=actor, now=now, before=old, after=new)
    return tenant


@transaction.atomic
def suspend_tenant(tenant_id: str, *, actor: Actor, now: datetime, reason: str = "") -> Tenant:
    """Close every gateway to the tenant: its credentials answer 403 within two seconds.

    Raises: ``NotFoundError``. Repeats: a suspended tenant stays as it is.
    """
    tenant = _locked(tenant_id)
    if tenant.suspended_at is None:
        tenant.suspended_at = now
        tenant.save(update_fields=["suspended_at", "updated_at"])
        after = {"suspended_at": now}
        _record("tenant.suspended", tenant, actor=actor, now=now, after=after, reason=reason)
    return tenant


@transaction.atomic
def reinstate_tenant(tenant_id: str, *, actor: Actor, now: datetime, reason: str = "") -> Tenant:
    """Open the gateways to a suspended tenant again.

    Raises: ``NotFoundError``. Repeats: a tenant that is not suspended stays as it is.
    """
    tenant = _locked(tenant_id)
    if tenant.suspended_at is not None:
        before = {"suspended_at": tenant.suspended_at}
        tenant.suspended_at = None
        tenant.save(update_fields=["suspended_at", "updated_at"])
        _record("tenant.reinstated", tenant, actor=actor, now=now, before=before, reason=reason)
    return tenant


@transaction.atomic
def set_membership(
    user_id: int, tenant_id: str, *, is_active: bool, actor: Actor, now: datetime
) -> Membership:
    """Let a staff member work for a tenant, or no longer.

    Repeats: the one membership of the pair is kept and switched.
    """
    membership, is_new = Membership.objects.get_or_create(
        user_id=user_id, tenant_id=tenant_id, defaults={"is_active": is_active}
    )
    if is_new or membership.is_active != is_active:
        Membership.objects.filter(pk=membership.pk).update(is_active=is_active)
        membership.is_active = is_active
        action = "membership.granted" if is_active else "membership.withdrawn"
        about = AuditChange("membership", str(membership.pk), str(membership.user))
        audit.record(action, actor=actor, now=now, tenant_id=tenant_id, change=about)
        snapshots.forget()
    return membership


def check_limits(limits: object) -> None:
    """Refuse overrides that are no limits. Raises: ``InvalidInputError`` naming the class."""
    if not isinstance(limits, Mapping):
        raise _fault("limits", "must be an object of classes and numbers per minute")
    for name, number in limits.items():
        if name not in TENANT_LIMIT_CLASSES:
            known = ", ".join(TENANT_LIMIT_CLASSES)
            raise _fault(f"limits.{name}", f"is not a limit; known are {known}")
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 10**9:
            raise _fault(f"limits.{name}", "must be a whole number from 1 to 1 000 000 000")


def check_operator_url(url: str, *, ports: Collection[int] = ()) -> None:
    """Refuse an address that could not be called; empty is none. Raises: ``InvalidInputError``."""
    if not url:
        return
    if "?" in url:
        raise _fault("operator_base_url", "must end before the question mark")
    try:
        outbound.check_url(url, ports=ports)
    except outbound.OutboundError as exc:
        message = f"cannot be called: {exc}"
        raise _fault("operator_base_url", message) from exc


def check_timezone(name: str) -> None:
    """Refuse a name that is no IANA time zone. Raises: ``InvalidInputError``."""
    try:
        load_zone(name)
    except UnknownZoneError as exc:
        raise _fault("timezone", "is not an IANA time zone") from exc


def _check_called(tenant_id: str, chosen: Mapping[str, Any]) -> None:
    ports = chosen.get("outbound_ports")
    if ports is None:
        kept = Tenant.objects.filter(pk=tenant_id).values_list("outbound_ports", flat=True)
        ports = kept.first() or ()
    check_operator_url(chosen["operator_base_url"], ports=ports)


def _locked(tenant_id: str) -> Tenant:
    tenant = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFoundError("There is no such tenant.")
    return tenant


def _refuse_unknown(chosen: Mapping[str, Any]) -> None:
    for name in chosen:
        if name not in SETTABLE:
            raise _fault(name, "cannot be set")


def check_origins(origins: Iterable[str]) -> None:
    """Refuse what no browser sends as its origin. Raises: ``InvalidInputError``."""
    for origin in origins:
        if not _is_origin(origin):
            raise _fault("allowed_origins", f"has {origin!r}; write scheme and host only")


def _check(tenant: Tenant) -> None:
    check_limits(tenant.limits)
    check_origins(tenant.allowed_origins)
    check_timezone(tenant.timezone)
    try:
        tenant.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as exc:
        details = [
            Detail(field, " ".join(messages), "bad_value")
            for field, messages in exc.message_dict.items()
        ]
        raise InvalidInputError("The tenant's settings are not valid.", details=details) from exc


def _values(tenant: Tenant) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in SETTABLE}


def _fault(field: str, message: str) -> InvalidInputError:
    return InvalidInputError(f"{field} {message}.", details=[Detail(field, message, "bad_value")])


def _record(
    action: str,
    tenant: Tenant,
    *,
    actor: Actor,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    about = AuditChange("tenant", tenant.pk, tenant.name, before, after)
    audit.record(action, actor=actor, now=now, tenant_id=tenant.pk, change=about, reason=reason)
    log.info(action, tenant=tenant.pk)
    snapshots.forget()
