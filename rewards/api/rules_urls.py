"""Paths of rules and earning rules."""

from typing import Any, Final

from rewards.api import rule_shapes as shapes
from rewards.api.collections import Collection, admin_paths, collection_paths
from rewards.api.converters import MEMBER
from rewards.api.views import rules as views
from rewards.models import Rule
from rewards.selectors import rules as selectors
from rewards.services import earning_rules, rule_changes, rules

RULES: Final = Collection(
    path="rules",
    plural="rules",
    scope="rewards",
    key="rule_id",
    converter=MEMBER,
    statuses=tuple(Rule.Status.values),
    filters=("kind",),
    list_page=selectors.list_rules,
    find=selectors.rule_view,
    documents=selectors.rule_documents,
    create=rules.create_rule,
    replace=rules.replace_rule,
    patch=rules.patch_rule,
    archive=rule_changes.delete_rule,
    duplicate=rules.duplicate_rule,
    versions=selectors.versions_of,
    input_shape=shapes.RuleInput,
    output_shape=shapes.RuleOutput,
    list_shape=shapes.RuleListOutput,
    change_shape=shapes.RuleChangeInput,
)
EARNING_RULES: Final = Collection(
    path="wallet/earning-rules",
    plural="earning_rules",
    scope="wallet",
    tag="wallet",
    key="rule_id",
    converter=MEMBER,
    list_page=selectors.list_earning_rules,
    find=selectors.earning_rule_view,
    documents=selectors.earning_rule_documents,
    create=earning_rules.create_earning_rule,
    replace=earning_rules.replace_earning_rule,
    patch=earning_rules.patch_earning_rule,
    archive=earning_rules.archive_earning_rule,
    duplicate=earning_rules.duplicate_earning_rule,
    versions=selectors.versions_of,
    input_shape=shapes.EarningRuleInput,
    output_shape=shapes.EarningRuleOutput,
    list_shape=shapes.EarningRuleListOutput,
    change_shape=shapes.EarningRuleChange,
    also=("v1/tenants/wallet/earning-rules",),
)
_RULE: Final = f"rules/<{MEMBER}:rule_id>"

admin_urlpatterns: list[Any] = [
    # Before the members: no rule has these ids.
    *admin_paths("rules/dry-run", views.DryRunView),
    *admin_paths("rules/explain", views.ExplainView),
    *collection_paths(RULES),
    *admin_paths(f"{_RULE}/activate", views.ActivateView),
    *admin_paths(f"{_RULE}/pause", views.PauseView),
    *admin_paths(f"{_RULE}/archive", views.ArchiveView),
    *admin_paths(f"{_RULE}/firings", views.FiringsView),
    *admin_paths(f"{_RULE}/refusals", views.RefusalsView),
    *collection_paths(EARNING_RULES),
]
query_urlpatterns: list[Any] = []
shared_urlpatterns: list[Any] = []
