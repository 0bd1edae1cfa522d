"""What gives a reward item or uses a reward config, so that nobody changes it unawares."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import F, Model, Q, TextField
from django.db.models.functions import Cast

from rewards.models import (
    Achievement,
    Coupon,
    Ladder,
    RewardConfig,
    Rule,
    RuleVersion,
    Streak,
)

__all__ = ["Use", "uses_of_config", "uses_of_item"]


@dataclass(frozen=True, slots=True)
class Use:
    """Something that names the object: ``model`` and ``pk`` are its row's."""

    model: type[Model]
    pk: object
    name: str

    @property
    def kind(self) -> str:
        """Return what it is, in a word."""
        return str(self.model._meta.verbose_name)


# The columns of JSON in which ids stand somewhere.
_DOCUMENTS: Final[tuple[tuple[type[Model], tuple[str, ...]], ...]] = (
    (RewardConfig, ("tiers",)),
    (Achievement, ("reward_item_ids",)),
    (Streak, ("config",)),
    (Ladder, ("levels", "ranks")),
)


def uses_of_item(tenant_id: str, item_id: UUID) -> list[Use]:
    """Return what gives the item: configs, goals, ladders, coupons and rules. Queries: 6."""
    found = [
        use for model, columns in _DOCUMENTS for use in _naming(model, columns, tenant_id, item_id)
    ]
    rows = Coupon.objects.filter(tenant_id=tenant_id, item_id=item_id).order_by("name")
    found += [Use(Coupon, pk, name) for pk, name in rows.values_list("pk", "name")]
    return found + _rules(tenant_id, item_id)


def uses_of_config(tenant_id: str, config_id: UUID) -> list[Use]:
    """Return what is paid by the config, but for boards, which name it themselves. Queries: 3."""
    rows = Achievement.objects.filter(tenant_id=tenant_id, reward_config_id=config_id)
    found = [Use(Achievement, pk, name) for pk, name in rows.values_list("pk", "name")]
    found += _naming(Streak, ("config",), tenant_id, config_id)
    return found + _rules(tenant_id, config_id)


def _naming(model: type[Model], columns: tuple[str, ...], tenant_id: str, named: UUID) -> list[Use]:
    has_id = Q()
    for column in columns:
        has_id |= Q(**{f"{column}_text__contains": str(named)})
    texts = {f"{column}_text": Cast(column, TextField()) for column in columns}
    rows = model._default_manager.filter(tenant_id=tenant_id).annotate(**texts).filter(has_id)
    return [Use(model, pk, name) for pk, name in rows.order_by("name").values_list("pk", "name")]


def _rules(tenant_id: str, named: UUID) -> list[Use]:
    """Return rules whose newest version, or the one in force, names it."""
    rows = (
        RuleVersion.objects.filter(rule__tenant_id=tenant_id)
        .exclude(rule__status="archived")
        .filter(Q(number=F("rule__version")) | Q(number=F("rule__active_version")))
        .annotate(text=Cast("document", TextField()))
        .filter(text__contains=str(named))
    )
    names = rows.order_by("rule__name").values_list("rule_id", "rule__name").distinct()
    return [Use(Rule, pk, name) for pk, name in names]
