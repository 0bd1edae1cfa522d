"""What rewards refuse: a class per code of spec 03 section 1.1."""

from collections.abc import Sequence

from phoenix_site.common.exceptions import (
    ConflictError,
    Detail,
    DomainError,
    InvalidInputError,
    NotAllowedError,
)
from phoenix_site.common.faults import Fault


class DocumentError(InvalidInputError):
    """A document has faults; ``faults`` and ``details`` have every one of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first, more = self.faults[0], len(self.faults) - 1
        text = f"{first.path}: {first.message}" if first.path else first.message
        super().__init__(
            text + (f" (and {more} more)" if more else ""),
            details=[Detail(fault.path, fault.message) for fault in self.faults],
        )


class PlayerBlockedError(NotAllowedError):
    """A ban, the account's status or the player's own choice keeps the player from rewards."""


class InsufficientBalanceError(InvalidInputError):
    """The wallet is too small."""

    code = "INSUFFICIENT_BALANCE"


class NotSpendableError(InvalidInputError):
    """The currency cannot be debited, held or be a price."""

    code = "NOT_SPENDABLE"


class CouponInactiveError(InvalidInputError):
    """The coupon is not active."""

    code = "COUPON_INACTIVE"


class CouponNotStartedError(InvalidInputError):
    """The coupon cannot be redeemed yet."""

    code = "COUPON_NOT_STARTED"


class CouponExpiredError(InvalidInputError):
    """The coupon cannot be redeemed any more."""

    code = "COUPON_EXPIRED"


class CouponAlreadyRedeemedError(InvalidInputError):
    """The code was redeemed already."""

    code = "COUPON_ALREADY_REDEEMED"


class CouponLimitReachedError(InvalidInputError):
    """The coupon was redeemed as often as it may be."""

    code = "COUPON_LIMIT_REACHED"


class CouponVoidError(InvalidInputError):
    """The code was declared void."""

    code = "COUPON_VOID"


class AlreadyExistsError(ConflictError):
    """The tenant has one of this id or name."""


class AlreadyReversedError(ConflictError):
    """The transaction was reversed already."""

    code = "ALREADY_REVERSED"


class HoldExceededError(ConflictError):
    """More was to be captured or released than is held."""

    code = "HOLD_EXCEEDED"


class HoldClosedError(ConflictError):
    """Nothing is held any more."""

    code = "HOLD_CLOSED"


class VersionConflictError(ConflictError):
    """Somebody else changed the object since the caller read it."""

    code = "VERSION_CONFLICT"


class StateConflictError(ConflictError):
    """The present state forbids it."""

    code = "STATE_CONFLICT"


class InUseError(ConflictError):
    """What is in use already cannot be changed in this way any more."""

    code = "IN_USE"


class PostingConflictError(ConflictError):
    """The ledger has a transaction of this key with other content (LED-2)."""

    code = "IDEMPOTENCY_CONFLICT"


class LedgerDriftError(DomainError):
    """A balance is not what the ledger left there: nothing is posted on it."""


class AmountRangeError(InvalidInputError):
    """An amount is larger than any column of amounts can hold."""


class CurrencyChangedError(ConflictError):
    """The currency was changed while the first posting in it was made: try again."""


class EventRefusedError(ConflictError):
    """An event cannot be processed, again; ``code`` says why, as its quarantine entry does."""

    code = "EVENT_REFUSED"
