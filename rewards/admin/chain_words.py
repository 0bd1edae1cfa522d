"""A chain from an event to a player's wallet, step by step, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestion.types import StoredEvent
from rewards.admin.rule_words import effect_words, plain
from rewards.models import Firing, Grant
from rewards.rules.verdicts import stored_effects
from rewards.selectors.reward_chains import FiringChain, GrantChain
from rewards.types.meanings import Names
from rewards.types.wallets import TransactionView
from tenants.models import Delivery

__all__ = ["Step", "firing_steps", "grant_steps"]

_TONES = {
    **dict.fromkeys(("granted", "activated", "delivered"), "good"),
    **dict.fromkeys(("failed", "revoked", "expired"), "bad"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One link: what it is, what it says, when it happened, and more lines below it."""

    kind: str
    title: str
    at: datetime | None = None
    lines: Sequence[str] = ()
    tone: str = "info"
    key: str = ""


def firing_steps(chain: FiringChain, event: StoredEvent | None, names: Names) -> list[Step]:
    """Return event, rule, firing, its grants and transactions in the order of what led to what."""
    firing = chain.firing
    return [
        _event_step(event, firing.event_id),
        _firing_step(firing, names),
        *(_transaction_step(each, names) for each in chain.transactions),
        *(step for grant in chain.grants for step in _grant_and_after(grant, names)),
    ]


def grant_steps(chain: GrantChain, event: StoredEvent | None, names: Names) -> list[Step]:
    """Return what led to a grant that no rule gave, the grant, and what came of it."""
    grant = chain.grant
    source = Step(
        "Source",
        f"{grant.get_source_type_display()} {grant.source_id}",
        lines=[f"{key.replace('_', ' ')}: {plain(value)}" for key, value in grant.context.items()],
    )
    first = [] if event is None else [_event_step(event, event.event_id)]
    return [*first, source, *_grant_and_after(chain, names)]


def _event_step(event: StoredEvent | None, event_id: str) -> Step:
    if event is None:
        return Step("Event", "The event is no longer kept.", key=event_id)
    return Step("Event", f"{event.type} of {event.user_id}", event.occurred_at, key=event_id)


def _firing_step(firing: Firing, names: Names) -> Step:
    lines = [effect_words(each, names) for each in stored_effects(firing.effects)]
    if firing.clipped_from is not None:
        lines.append(f"Cut from {plain(firing.clipped_from)} by the caps of the rule")
    if firing.is_retroactive:
        lines.append("Applied to the past by staff")
    if firing.cost:
        lines.append(f"Costs {plain(firing.cost)} {names.base_currency}".rstrip())
    title = f"Rule “{firing.rule.name}”, version {firing.version}, fired"
    return Step("Firing", title, firing.fired_at, lines, "good", str(firing.pk))


def _grant_and_after(chain: GrantChain, names: Names) -> Iterator[Step]:
    yield _grant_step(chain)
    for transaction in chain.transactions:
        yield _transaction_step(transaction, names)
    for delivery in chain.deliveries:
        yield _delivery_step(delivery)


def _grant_step(chain: GrantChain) -> Step:
    grant: Grant = chain.grant
    lines = [
        f"{move.at:%d %b, %H:%M:%S}: {move.to_status.replace('_', ' ')}"
        f"{f' by {move.actor}' if move.actor else ''}{f', {move.reason}' if move.reason else ''}"
        for move in chain.moves
    ]
    if grant.note:
        lines.append(grant.note)
    title = f"“{grant.snapshot.get('name', '')}”: {grant.get_status_display().lower()}"
    tone = _TONES.get(grant.status, "warn")
    return Step("Grant", title, grant.created_at, lines, tone, str(grant.pk))


def _transaction_step(view: TransactionView, names: Names) -> Step:
    own = [line for line in view.postings if line.account_kind == "wallet"]
    said = [
        f"{'+' if line.amount > 0 else ''}{plain(line.amount)} "
        f"{names.currencies.get(line.currency_id, line.currency_id)}"
        f"{f', balance {plain(line.balance_after)}' if line.balance_after is not None else ''}"
        for line in own
    ]
    lines = [view.reason] if view.reason else []
    if view.reversed_by is not None:
        lines.append("Taken back by a reversal")
    title = f"{view.kind.capitalize()}: {'; '.join(said) or 'no wallet'}"
    return Step("Transaction", title, view.created_at, lines, "good", str(view.id))


def _delivery_step(delivery: Delivery) -> Step:
    attempts = list(delivery.attempts.all())
    tried = f"{len(attempts)} attempt{'' if len(attempts) == 1 else 's'}"
    tone = _TONES.get(delivery.state, "warn")
    title = f"{delivery.get_state_display()} to the operator"
    return Step("Delivery", title, delivery.created_at, [tried], tone, str(delivery.pk))
