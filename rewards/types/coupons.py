"""Shapes of coupons: definitions, codes and what becomes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Refusal = Literal[
    "not_found",
    "other_player",
    "void",
    "inactive",
    "not_started",
    "expired",
    "already_redeemed",
    "usage_limit_reached",
]
Verdict = Literal["imported", "duplicate", "rejected"]


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """How often a coupon may be redeemed, by one player and by all; ``None``: any number."""

    per_user: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class CouponFields:
    """A valid definition; ``custom_code`` is folded, ``usage_limit`` as it was sent."""

    name: str
    description: str
    status: str
    item_id: UUID
    code_format: str
    code_prefix: str
    code_length: int
    custom_code: str
    is_case_sensitive: bool
    starts_at: datetime | None
    expires_at: datetime | None
    limits: UsageLimits
    usage_limit: Any


@dataclass(frozen=True, slots=True)
class CouponView:
    """A coupon as a book keeps it; ``shared_code_id`` is set where all share ``custom_code``."""

    pk: UUID
    name: str
    status: str
    item_id: UUID
    code_prefix: str
    code_length: int
    is_case_sensitive: bool
    expires_at: datetime | None
    custom_code: str = ""
    shared_code_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class CodeState:
    """What decides whether a player may redeem a code, as of one instant.

    ``is_others`` when it belongs to another player. ``used_count`` and ``redeemed_count`` count the
    redemptions of all codes of the coupon, by the player and by everybody.
    """

    code_status: str
    coupon_status: str
    is_shared: bool
    is_others: bool
    starts_at: datetime | None
    expires_at: datetime | None
    limits: UsageLimits
    used_count: int
    redeemed_count: int


@dataclass(frozen=True, slots=True)
class TypedCode:
    """A code as somebody typed it; ``player_id`` is ``None`` for one who is not known yet."""

    tenant_id: str
    typed: str
    player_id: UUID | None


@dataclass(frozen=True, slots=True)
class RedeemAsk:
    """What one player asks for: to redeem the code that was typed."""

    tenant_id: str
    user_id: str
    typed: str


@dataclass(frozen=True, slots=True)
class FoundCode:
    """A code that somebody typed, with its coupon; ``state`` decides what may be done with it."""

    code_id: UUID
    code: str
    coupon_id: UUID
    coupon_name: str
    item_id: UUID
    player_id: UUID | None
    state: CodeState


@dataclass(frozen=True, slots=True)
class AssignedCode:
    """A code that a player was given."""

    code_id: UUID
    code: str
    coupon_id: UUID
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to be stored, folded if it is not case-sensitive."""

    code_id: UUID
    code: str
    player_id: UUID | None
    grant_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A row of an import: ``fault`` says what is wrong with it, if anything is."""

    code: str
    user_id: str | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What became of the row ``index`` (from 0) of an import."""

    index: int
    code: str
    status: Verdict
    error: str = ""


@dataclass(frozen=True, slots=True)
class ShownCode:
    """A code as lists and exports show it; ``redeemed_by`` is an external id."""

    code_id: UUID
    code: str
    coupon_id: UUID
    coupon_name: str
    tenant_id: str
    user_id: str | None
    status: str
    created_at: datetime
    expires_at: datetime | None
    redeemed_at: datetime | None
    redemption_count: int
    redeemed_by: str | None = None
    reward_item: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Redemption:
    """One redemption as it is shown; ``order_id`` is the grant."""

    redemption_id: UUID
    coupon_id: UUID
    code_id: UUID
    code: str
    user_id: str
    reward_item: Mapping[str, Any]
    order_id: UUID
    redeemed_at: datetime
    status: str
