"""Claiming: by the player, by staff, one grant or a whole group (GRT-6, GRT-7)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.documents import plain_json
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from rewards.exceptions import DocumentError, PlayerBlockedError, StateConflictError
from rewards.models import Grant
from rewards.rules.grants import CLAIMED
from rewards.selectors import grants as selectors
from rewards.services import grant_store
from rewards.services.granting import GrantDesk
from rewards.services.pipe import settling
from rewards.services.settlement import Settlement

__all__ = ["claim_grant", "claim_group", "read_fields"]

_MAX_FIELDS, _MAX_FIELD_LENGTH, _MAX_FIELD_NAME = 50, 1000, 64
_NO_FIELDS: Final[Mapping[str, Any]] = {}


def claim_grant(
    tenant_id: str,
    grant_id: UUID,
    *,
    user_id: str | None,
    now: datetime,
    fields: Mapping[str, Any] = _NO_FIELDS,
    actor: str = "",
    reason: str = "",
) -> Grant:
    """Claim a grant for its player, who must be ``user_id`` unless that is ``None`` (for staff).

    Raises: ``NotFoundError``, ``PlayerBlockedError``, ``StateConflictError`` for a grant that is
    expired or revoked. Repeats: a claimed grant is returned as it is. Locks: the player, the grant.
    """
    grant = selectors.get_grant(tenant_id, grant_id, user_id=user_id)
    return _claim([grant], fields, now=now, actor=actor, reason=reason, is_player=bool(user_id))[0]


def claim_group(
    tenant_id: str,
    group_id: UUID,
    *,
    user_id: str,
    now: datetime,
    fields: Mapping[str, Any] = _NO_FIELDS,
) -> list[Grant]:
    """Claim whatever of a group is unclaimed, in one transaction; return the whole group.

    Raises: as ``claim_grant``; ``StateConflictError`` when nothing of it can be claimed and not
    all was claimed before. Repeats: as ``claim_grant``.
    """
    grants = selectors.grants_of_group(tenant_id, group_id, user_id=user_id)
    if not grants:
        raise NotFoundError("There is no such group of grants.")
    return _claim(grants, fields, now=now, actor=user_id, reason="", is_player=True)


def read_fields(sent: object) -> dict[str, Any]:
    """Return what a player says with a claim: texts, numbers and truths by name.

    Raises: ``DocumentError`` with every fault.
    """
    if sent is None:
        return {}
    if not isinstance(sent, Mapping) or len(sent) > _MAX_FIELDS:
        raise DocumentError([Fault("fields", f"must be an object of at most {_MAX_FIELDS} fields")])
    faults: list[Fault] = []
    for name, value in sent.items():
        if len(name) > _MAX_FIELD_NAME:
            faults.append(Fault("fields", f"has a name of over {_MAX_FIELD_NAME} characters"))
        elif isinstance(value, Mapping | list) or len(str(value)) > _MAX_FIELD_LENGTH:
            faults.append(Fault(f"fields.{name}", "must be a text, a number or true or false"))
    if faults:
        raise DocumentError(faults)
    return {name: plain_json(value) for name, value in sent.items()}


def _claim(
    found: Sequence[Grant],
    fields: Mapping[str, Any],
    *,
    now: datetime,
    actor: str,
    reason: str,
    is_player: bool,
) -> list[Grant]:
    player_id = found[0].player_id
    with transaction.atomic(), settling([player_id], now=now) as settlement:
        if is_player:
            _check_player(settlement, player_id)
        grants = grant_store.lock_grants([grant.pk for grant in found])
        desk = settlement.part(GrantDesk)
        _expire_late(desk, grants)
        for grant in grants:
            if grant.status == Grant.Status.UNCLAIMED:
                if fields:
                    grant.context = {**grant.context, "fields": dict(fields)}
                desk.claim(grant, actor=actor or grant.player.external_id, reason=reason)
    # Outside: what expired just now stays expired, whatever is answered.
    if not any(grant.status in CLAIMED for grant in grants):
        raise StateConflictError(f"The grant is {grants[0].status} and cannot be claimed.")
    return grants


def _check_player(settlement: Settlement, player_id: UUID) -> None:
    facts = settlement.facts[player_id]
    if facts.is_blocked("rewards") or facts.is_opted_out:
        raise PlayerBlockedError("The player takes no part in rewards.")


def _expire_late(desk: GrantDesk, grants: Sequence[Grant]) -> None:
    for grant in grants:
        if desk.is_over(grant):
            desk.move(grant, "expired", reason="Not claimed in time.")
