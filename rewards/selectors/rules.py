"""Rules over time, as the consumer and explanations read them, and as lists show them."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.logging import get_logger
from rewards.constants import MAX_KEPT_RULES
from rewards.exceptions import DocumentError
from rewards.models import Rule, RuleChange, RuleVersion
from rewards.rules.earning_rules import short_form
from rewards.rules.identifiers import is_slug
from rewards.rules.rule_documents import compile_rule
from rewards.rules.rule_index import RuleIndex
from rewards.types.book import Book
from rewards.types.listing import Listing, ListQuestion
from rewards.types.rule_views import RuleView
from rewards.types.rules import CompiledRule

__all__ = [
    "RuleBook",
    "RuleHistory",
    "compiled_version",
    "earning_rule_documents",
    "earning_rule_view",
    "find_rule",
    "get_rule",
    "get_version",
    "is_short",
    "list_earning_rules",
    "list_rules",
    "load",
    "of",
    "rule_documents",
    "rule_view",
    "versions_of",
    "view_of",
    "views_of",
    "with_warnings",
]

log = get_logger(__name__)

_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
# Rule, version, periods counted beside its own: all that a compiled rule depends on.
_Key = tuple[UUID, int, tuple[str, ...]]


class _Kept:
    """Compiled versions, which never change once they are published."""

    def __init__(self) -> None:
        self._rules: OrderedDict[_Key, CompiledRule | None] = OrderedDict()

    def compile(self, keys: Iterable[_Key]) -> list[CompiledRule]:
        """Return the rules of these versions. Queries: 1, mostly 0."""
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._rules]
        if missing:
            self._load(missing)
        found = [self._rules[key] for key in wanted]
        while len(self._rules) > MAX_KEPT_RULES:
            self._rules.popitem(last=False)
        return [rule for rule in found if rule is not None]

    def _load(self, keys: Sequence[_Key]) -> None:
        chosen = Q()
        for pk, number, _also in keys:
            chosen |= Q(rule_id=pk, number=number)
        rows = RuleVersion.objects.filter(chosen).values_list("rule_id", "number", "document")
        documents = {(pk, number): document for pk, number, document in rows}
        for key in keys:
            self._rules[key] = _compile(key, documents.get(key[:2]))


_kept: Final = _Kept()


def _compile(key: _Key, document: Mapping[str, Any] | None) -> CompiledRule | None:
    pk, number, also = key
    try:
        if document is not None:
            return compile_rule(pk, number, document, also_tracked=also)
    except DocumentError as exc:
        # A rule that this release no longer reads must not stop all the others.
        log.error("rule.unreadable", rule=str(pk), version=number, error=exc.message)  # noqa: TRY400
    return None


class RuleHistory:
    """From each of ``times`` on (oldest first) a version judged events, or none did."""

    __slots__ = ("times", "versions")

    def __init__(self, changes: Iterable[tuple[datetime, int | None]]) -> None:
        ordered = sorted(changes, key=lambda change: change[0])
        self.times = [at for at, _ in ordered]
        self.versions = [version for _, version in ordered]

    def version_at(self, instant: datetime) -> int | None:
        """Return the version in force at ``instant``."""
        place = bisect_right(self.times, instant) - 1
        return self.versions[place] if place >= 0 else None


class RuleBook:
    """The rules of a tenant at every moment: an event is judged by those of its arrival.

    Between two changes of any rule the same versions are in force, so there is one index for each
    such span, made when the first event of it comes.
    """

    def __init__(
        self, histories: Mapping[UUID, RuleHistory], tracked: Mapping[UUID, tuple[str, ...]]
    ) -> None:
        self._histories = histories
        self._tracked = tracked
        changes = {at for history in histories.values() for at in history.times}
        self._bounds = sorted(changes)
        self._indexes: dict[int, RuleIndex] = {}

    def at(self, instant: datetime) -> RuleIndex:
        """Return the rules in force at ``instant``. Queries: 1, mostly 0."""
        place = bisect_right(self._bounds, instant)
        index = self._indexes.get(place)
        if index is None:
            since = self._bounds[place - 1] if place else _ALWAYS
            index = self._indexes[place] = RuleIndex(self._in_force(since))
        return index

    def _in_force(self, instant: datetime) -> list[CompiledRule]:
        versions = [
            (pk, version, self._tracked.get(pk, ()))
            for pk, history in self._histories.items()
            if (version := history.version_at(instant)) is not None
        ]
        return _kept.compile(versions)

    def version_at(self, rule_pk: UUID, instant: datetime) -> int | None:
        """Return the version of a rule in force at ``instant``."""
        history = self._histories.get(rule_pk)
        return None if history is None else history.version_at(instant)


def load(tenant_id: str) -> RuleBook:
    """Return the rules of a tenant, for the book. Queries: 2, and 1 for new versions."""
    changes: dict[UUID, list[tuple[datetime, int | None]]] = {}
    rows = RuleChange.objects.filter(rule__tenant_id=tenant_id)
    for pk, at, version in rows.values_list("rule_id", "at", "version"):
        changes.setdefault(pk, []).append((at, version))
    rules = Rule.objects.filter(tenant_id=tenant_id, pk__in=changes.keys())
    tracked = rules.values_list("pk", "tracked_periods")
    return RuleBook(
        {pk: RuleHistory(found) for pk, found in changes.items()},
        {pk: tuple(periods) for pk, periods in tracked},
    )


def of(book: Book) -> RuleBook:
    """Return the rules of a book."""
    rules: RuleBook = book.part("rules")
    return rules


# --- Single rules --------------------------------------------------------------------------------


def find_rule(tenant_id: str, rule_id: str) -> Rule | None:
    """Return the tenant's rule of that id, or ``None``. Queries: 1."""
    if not is_slug(rule_id):
        return None
    return Rule.objects.filter(tenant_id=tenant_id, rule_id=rule_id).first()


def get_rule(tenant_id: str, rule_id: str) -> Rule:
    """Return the tenant's rule of that id. Raises: ``NotFoundError``. Queries: 1."""
    rule = find_rule(tenant_id, rule_id)
    if rule is None:
        raise NotFoundError("There is no such rule.")
    return rule


def get_version(rule: Rule, number: int) -> RuleVersion:
    """Return one version of a rule. Raises: ``NotFoundError``. Queries: 1."""
    version = rule.versions.filter(number=number).first()
    if version is None:
        raise NotFoundError(f"The rule has no version {number}.")
    return version


def compiled_version(rule: Rule, number: int) -> CompiledRule:
    """Return one version, of a draft too, ready to judge. Raises: ``NotFoundError``. Queries: 1.

    A draft may still change, so nothing of it is kept.
    """
    version = get_version(rule, number)
    return compile_rule(rule.pk, number, version.document, also_tracked=rule.tracked_periods)


def versions_of(tenant_id: str, rule_id: str) -> list[RuleVersion]:
    """Return a rule's versions, newest first. Raises: ``NotFoundError``. Queries: 2."""
    return list(get_rule(tenant_id, rule_id).versions.order_by("-number"))


def list_rules(tenant_id: str, asked: ListQuestion) -> Listing[RuleView]:
    """Return a page of the tenant's rules by id, archived ones only when asked for. Queries: 4."""
    found = Rule.objects.filter(tenant_id=tenant_id)
    if asked.status is None:
        found = found.exclude(status=Rule.Status.ARCHIVED)
    else:
        found = found.filter(status=asked.status)
    if "kind" in asked.filters:
        found = found.filter(kind=asked.filters["kind"])
    if asked.search:
        found = found.filter(Q(name__icontains=asked.search) | Q(rule_id__contains=asked.search))
    page = found.order_by("rule_id")[asked.offset : asked.offset + asked.limit]
    return Listing(views_of(page), found.count())


def views_of(rules: Iterable[Rule]) -> list[RuleView]:
    """Return rules as lists show them, with the version in force or else the newest. Queries: 3."""
    found = list(rules)
    shown = Coalesce(F("rule__active_version"), F("rule__version"))
    rows = RuleVersion.objects.filter(rule__in=found, number=shown)
    versions = {row.rule_id: row for row in rows}
    drafts = _drafts(found)
    planned = _planned(rule.pk for rule in found)
    return [
        _view(rule, versions[rule.pk], draft=drafts.get(rule.pk), planned=planned.get(rule.pk, ()))
        for rule in found
    ]


def view_of(rule: Rule, number: int | None = None, *, warnings: Sequence[str] = ()) -> RuleView:
    """Return a rule with one of its versions. Raises: ``NotFoundError``. Queries: 3."""
    version = get_version(rule, number or _shown(rule))
    return _view(
        rule,
        version,
        draft=_drafts([rule]).get(rule.pk),
        planned=_planned([rule.pk]).get(rule.pk, ()),
        warnings=tuple(warnings),
    )


def rule_view(tenant_id: str, rule_id: str) -> RuleView:
    """Return a rule with the version in force, else the newest. Raises: ``NotFoundError``."""
    return view_of(get_rule(tenant_id, rule_id))


def _shown(rule: Rule) -> int:
    return rule.active_version or rule.version


def _drafts(rules: Collection[Rule]) -> dict[UUID, int]:
    newest = RuleVersion.objects.filter(rule__in=rules, number=F("rule__version"))
    return dict(newest.filter(published_at=None).values_list("rule_id", "number"))


def _planned(rule_pks: Iterable[UUID]) -> dict[UUID, tuple[Mapping[str, Any], ...]]:
    found: dict[UUID, tuple[Mapping[str, Any], ...]] = {}
    for change in planned_changes().filter(rule_id__in=list(rule_pks)).order_by("at"):
        line = {"at": change.at, "status": change.status, "version": change.version}
        found[change.rule_id] = (*found.get(change.rule_id, ()), line)
    return found


def planned_changes() -> QuerySet[RuleChange]:
    """Return the changes that no rule's status shows yet."""
    return RuleChange.objects.filter(applied_at=None)


def _view(
    rule: Rule,
    version: RuleVersion,
    *,
    draft: int | None,
    planned: tuple[Mapping[str, Any], ...],
    warnings: tuple[str, ...] = (),
) -> RuleView:
    is_draft = version.published_at is None
    return RuleView(
        pk=rule.pk,
        tenant_id=rule.tenant_id,
        rule_id=rule.rule_id,
        status=Rule.Status.DRAFT.value if is_draft else rule.status,
        version=version.number,
        active_version=rule.active_version,
        draft_version=draft,
        document=version.document,
        created_at=rule.created_at,
        updated_at=rule.updated_at,
        planned=planned,
        warnings=warnings,
    )


def with_warnings(view: RuleView, warnings: Sequence[str]) -> RuleView:
    """Return the view with what was odd about its document."""
    return replace(view, warnings=tuple(warnings))


def is_short(document: Mapping[str, Any]) -> bool:
    """Whether the short form of an earning rule says everything of a document."""
    plain = (
        len(document["trigger"]["names"]) == 1,
        document["trigger"]["type"] == "event",
        document["group"] is None,
        document["starts_at"] is None and document["ends_at"] is None,
        not any(document["limits"]["per_player"].values()),
        not any(document["limits"]["budget"].values()),
    )
    return all(plain)


def list_earning_rules(tenant_id: str, asked: ListQuestion) -> Listing[RuleView]:
    """Return a page of the earning rules that have a short form, by id. Queries: 4."""
    found = Rule.objects.filter(tenant_id=tenant_id, kind=Rule.Kind.EARNING)
    found = found.exclude(status=Rule.Status.ARCHIVED)
    if asked.status == "active":
        found = found.filter(status=Rule.Status.ACTIVE)
    elif asked.status == "inactive":
        found = found.exclude(status=Rule.Status.ACTIVE)
    if asked.search:
        found = found.filter(name__icontains=asked.search)
    # A tenant has dozens of them: what has no short form is left out in memory.
    views = [view for view in views_of(found.order_by("rule_id")) if is_short(view.document)]
    return Listing(views[asked.offset : asked.offset + asked.limit], len(views))


def earning_rule_view(tenant_id: str, rule_id: str) -> RuleView:
    """Return an earning rule that has a short form. Raises: ``NotFoundError``."""
    view = rule_view(tenant_id, rule_id)
    if view.document["kind"] != Rule.Kind.EARNING or not is_short(view.document):
        raise NotFoundError("There is no such earning rule.")
    return view


def earning_rule_documents(views: Sequence[RuleView]) -> list[dict[str, Any]]:
    """Return earning rules in their short form, as the admin gateway answers them."""
    return [
        {
            "id": view.rule_id,
            "rule_id": view.rule_id,
            "tenant_id": view.tenant_id,
            **short_form(view.document),
            "active": view.status == Rule.Status.ACTIVE,
            "status": view.status,
            "version": view.version,
            "warnings": list(view.warnings),
            "created_at": view.created_at,
            "updated_at": view.updated_at,
        }
        for view in views
    ]


def rule_documents(views: Sequence[RuleView]) -> list[dict[str, Any]]:
    """Return rules as the admin gateway answers them."""
    return [
        {
            **view.document,
            "tenant_id": view.tenant_id,
            "status": view.status,
            "version": view.version,
            "active_version": view.active_version,
            "draft_version": view.draft_version,
            "planned": list(view.planned),
            "warnings": list(view.warnings),
            "created_at": view.created_at,
            "updated_at": view.updated_at,
        }
        for view in views
    ]
