"""The collections of the admin gateway (spec 03 ADM-1 to ADM-5): one description, all its paths.

A subject describes its collection once, with the functions that read and change it, and gets the
list, the member, its copy and its versions, below ``v1/tenants/<tenant_id>/`` and again below
``v1/`` with ``?tenant_id=``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol

from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from phoenix_site.common.documents import find_value_faults
from phoenix_site.common.drf import GatewayView, read_page
from phoenix_site.common.exceptions import Detail, InvalidInputError
from rewards.api.serializers import DocumentVersionListOutput
from rewards.exceptions import DocumentError
from rewards.types.listing import Listing, ListQuestion
from tenants.api.authentication import AdminAuthentication, caller_of, request_address
from tenants.api.gateways import shared_view
from tenants.api.idempotency import idempotent
from tenants.api.permissions import ReachesTenant, ScopePermission
from tenants.api.throttles import AdminThrottle
from tenants.services import audit
from tenants.types import Actor

__all__ = [
    "AdminView",
    "Collection",
    "admin_paths",
    "collection_paths",
    "page_parameters",
    "read_list_question",
    "read_object",
    "shared_path",
    "short_form",
]

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
MAX_VERSIONS: Final = 1000
_MAX_SEARCH_LENGTH: Final = 200
TENANT_QUERY: Final = OpenApiParameter(
    "tenant_id", str, required=True, description="The tenant that it is about."
)


class Create(Protocol):
    """Make an object of ``document`` (a JSON object). Raises: ``DocumentError`` with all faults."""

    def __call__(
        self, tenant_id: str, document: Mapping[str, Any], /, *, actor: Actor, now: datetime
    ) -> Any: ...


class Change(Protocol):
    """Change the object of this key and return it.

    ``document`` is the whole new document (PUT), a merge patch (PATCH) or what a copy is to have
    other than the original (duplicate); its ``version``, if any, must be the stored one.
    """

    def __call__(
        self,
        tenant_id: str,
        key: Any,
        document: Mapping[str, Any],
        /,
        *,
        actor: Actor,
        now: datetime,
    ) -> Any: ...


class Archive(Protocol):
    """Take the object of this key out of use. Repeats: harmless."""

    def __call__(self, tenant_id: str, key: Any, /, *, actor: Actor, now: datetime) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection of configured objects: its place, its scope, and who reads and changes it.

    ``path`` stands after ``v1/tenants/<tenant_id>/``; ``plural`` names the list in an answer.
    ``key`` is the last part of a member's path, with its ``converter``. ``statuses`` are what the
    list may be asked for; ``filters`` further questions of it. ``list_page`` returns a page and
    the whole count, ``documents`` shows objects in order (one call per page, so that it may read
    set-wise). ``also`` are further addresses of the list with ``?tenant_id=``. Where a function is
    ``None`` the operation does not exist.
    """

    path: str
    plural: str
    scope: str
    key: str
    converter: str = "str"
    tag: str = "rewards"
    statuses: tuple[str, ...] = ("active", "inactive")
    filters: tuple[str, ...] = ()
    list_page: Callable[[str, ListQuestion], Listing[Any]]
    find: Callable[[str, Any], Any]
    documents: Callable[[Sequence[Any]], list[dict[str, Any]]]
    create: Create
    replace: Change
    patch: Change | None
    archive: Archive
    duplicate: Change | None
    # Rows with version, author, reason, created_at and document.
    versions: Callable[[str, Any], Sequence[Any]] | None
    input_shape: type[Serializer[Any]]
    output_shape: type[Serializer[Any]]
    list_shape: type[Serializer[Any]]
    # What PATCH and duplicate take, where that differs from a new object.
    change_shape: type[Serializer[Any]] | None = None
    also: tuple[str, ...] = ()
    # Paths of the short form that another gateway shares: the subject mounts these itself.
    shared: tuple[str, ...] = field(default=())


class RewardsScope(ScopePermission):
    """Ask for the view's scope, to read or to write."""

    def has_permission(self, request: Request, view: Any) -> bool:
        self.read_scope, self.write_scope = f"{view.scope}:read", f"{view.scope}:write"
        return super().has_permission(request, view)


class AdminView(GatewayView):
    """Base of the admin gateway's views of rewards; ``scope`` is ``rewards`` or ``wallet``.

    The tenant is in the path or, in the short form, in the query string.
    """

    scope: ClassVar[str] = "rewards"
    authentication_classes = [AdminAuthentication]
    permission_classes = [RewardsScope, ReachesTenant]
    throttle_classes = [AdminThrottle]

    @property
    def tenant_id(self) -> str:
        """Return the tenant that the request is about. Raises: ``InvalidInputError``."""
        named: str | None = self.kwargs.get("tenant_id") or self.request.GET.get("tenant_id")
        if not named:
            message = "is missing in the query string"
            raise InvalidInputError(
                f"tenant_id {message}.", details=[Detail("tenant_id", message, "bad_value")]
            )
        return named

    @property
    def actor(self) -> Actor:
        """Return who asks, for versions and the audit log."""
        request: Any = self.request
        address = request_address(request._request)  # noqa: SLF001 - the only way to it
        return audit.caller_actor(caller_of(request), address=address)

    def read_body(self) -> dict[str, Any]:
        """Return the body without ``tenant_id``, which must be the request's. Raises: as told."""
        return read_object(self.request.data, self.tenant_id)


def read_object(body: Any, tenant_id: str) -> dict[str, Any]:
    """Return the object that was sent, without ``tenant_id``; nothing at all is an empty object.

    Raises: ``InvalidInputError`` if it is no object, names another tenant (ADM-2), or holds what
    no column takes.
    """
    if body in (None, ""):
        return {}
    if not isinstance(body, dict):
        raise InvalidInputError("The body must be a JSON object.")
    if body.get("tenant_id", tenant_id) != tenant_id:
        message = "is not the tenant of the request"
        raise InvalidInputError(f"tenant_id {message}.", details=[Detail("tenant_id", message)])
    faults = find_value_faults(body)
    if faults:
        raise DocumentError(faults)
    return {name: value for name, value in body.items() if name != "tenant_id"}


def read_list_question(
    request: Request, *, statuses: Sequence[str], filters: Sequence[str] = ()
) -> ListQuestion:
    """Return what a list is asked for. Raises: ``InvalidInputError`` naming the parameter."""
    page = read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
    asked, search = request.GET.get("status"), request.GET.get("q", "").strip()
    if asked is not None and asked not in statuses:
        message = f"must be one of {', '.join(statuses)}"
        raise InvalidInputError(f"status {message}.", details=[Detail("status", message)])
    if len(search) > _MAX_SEARCH_LENGTH or "\x00" in search:
        message = f"must be a text of at most {_MAX_SEARCH_LENGTH} characters"
        raise InvalidInputError(f"q {message}.", details=[Detail("q", message)])
    chosen = {name: request.GET[name] for name in filters if request.GET.get(name)}
    return ListQuestion(page.limit, page.offset, asked, search, chosen)


class CollectionView(AdminView):
    """The list of a collection, and where an object is added to it."""

    collection: ClassVar[Collection]

    def get(self, request: Request, **_kwargs: Any) -> Response:
        """List the objects."""
        these = self.collection
        asked = read_list_question(request, statuses=these.statuses, filters=these.filters)
        found = these.list_page(self.tenant_id, asked)
        return Response({"total": found.total, these.plural: these.documents(found.items)})

    @idempotent
    def post(self, request: Request, **_kwargs: Any) -> HttpResponse:
        """Add an object."""
        made = self.collection.create(
            self.tenant_id, self.read_body(), actor=self.actor, now=timezone.now()
        )
        return Response(self.collection.documents([made])[0], status=status.HTTP_201_CREATED)


class MemberView(AdminView):
    """One object of a collection."""

    collection: ClassVar[Collection]

    def get(self, request: Request, **kwargs: Any) -> Response:
        """Show the object."""
        found = self.collection.find(self.tenant_id, kwargs[self.collection.key])
        return Response(self.collection.documents([found])[0])

    def put(self, request: Request, **kwargs: Any) -> Response:
        """Replace the object's fields; what is left out gets its default."""
        return self._change(self.collection.replace, kwargs)

    def patch(self, request: Request, **kwargs: Any) -> Response:
        """Merge fields into the object (RFC 7396)."""
        change = self.collection.patch
        assert change is not None  # noqa: S101 - the path has no such method then
        return self._change(change, kwargs)

    def delete(self, request: Request, **kwargs: Any) -> Response:
        """Archive the object."""
        self.collection.archive(
            self.tenant_id, kwargs[self.collection.key], actor=self.actor, now=timezone.now()
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, change: Change, kwargs: Mapping[str, Any]) -> Response:
        changed = change(
            self.tenant_id,
            kwargs[self.collection.key],
            self.read_body(),
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(self.collection.documents([changed])[0])


class DuplicateView(AdminView):
    """A copy of an object."""

    collection: ClassVar[Collection]

    @idempotent
    def post(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Copy the object; fields in the body replace those of the original."""
        these = self.collection
        assert these.duplicate is not None  # noqa: S101 - there is no such path then
        made = these.duplicate(
            self.tenant_id,
            kwargs[these.key],
            self.read_body(),
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(these.documents([made])[0], status=status.HTTP_201_CREATED)


class VersionsView(AdminView):
    """What an object was, version by version."""

    collection: ClassVar[Collection]

    def get(self, request: Request, **kwargs: Any) -> Response:
        """List the versions, newest first."""
        these = self.collection
        assert these.versions is not None  # noqa: S101 - there is no such path then
        page = read_page(request, default=MAX_VERSIONS, maximum=MAX_VERSIONS)
        newest_first = these.versions(self.tenant_id, kwargs[these.key])
        shown = newest_first[page.offset : page.offset + page.limit]
        body = {"total": len(newest_first), "versions": [_version(each) for each in shown]}
        return Response(body)


def _version(row: Any) -> dict[str, Any]:
    return {
        "version": row.version,
        "author": row.author,
        "reason": row.reason,
        "created_at": row.created_at,
        "document": row.document,
    }


def collection_paths(collection: Collection) -> list[Any]:
    """Return every path of the collection in both forms; see ``Collection.shared``."""
    key = f"<{collection.converter}:{collection.key}>"
    routes = [
        ("", _described(CollectionView, collection)),
        (f"/{key}", _described(MemberView, collection)),
    ]
    if collection.duplicate is not None:
        routes.append((f"/{key}/duplicate", _described(DuplicateView, collection)))
    if collection.versions is not None:
        routes.append((f"/{key}/versions", _described(VersionsView, collection)))
    paths: list[Any] = []
    for ending, view in routes:
        paths += admin_paths(f"{collection.path}{ending}", view, shared=collection.shared)
        paths += [_short_path(f"{also}{ending}", view) for also in collection.also]
    return paths


def admin_paths(route: str, view: type[AdminView], *, shared: Sequence[str] = ()) -> list[Any]:
    """Return both forms of a path of the admin gateway (ADM-2); ``shared`` ones lack the second."""
    paths = [path(f"v1/tenants/<slug:tenant_id>/{route}", view.as_view())]
    return paths if f"v1/{route}" in shared else [*paths, _short_path(f"v1/{route}", view)]


def shared_path(route: str, admin_view: type[AdminView], query_view: Any) -> Any:
    """Return ``v1/{route}``, where a player's token opens ``query_view`` and others the admin's.

    Name the path in the collection's ``shared``, or mount the admin view's long form by hand.
    """
    view = shared_view(short_form(admin_view), query_view.as_view(), described=admin_view)
    return path(f"v1/{route}", view)


def short_form(view: type[AdminView]) -> Any:
    """Return the view as it stands where ``tenant_id`` is in the query string, ready to mount."""
    described: Any = extend_schema(parameters=[TENANT_QUERY])(type(view.__name__, (view,), {}))
    return described.as_view()


def _short_path(route: str, view: type[AdminView]) -> Any:
    return path(route, short_form(view))


def _described(base: type[AdminView], collection: Collection) -> Any:
    """Return the view of this collection, with the shapes that the reference shows."""
    view: Any = type(base.__name__, (base,), {"collection": collection, "scope": collection.scope})
    if base is MemberView and collection.patch is None:
        view.http_method_names = [name for name in view.http_method_names if name != "patch"]
    one, tags = collection.output_shape, [collection.tag]
    change = collection.change_shape or collection.input_shape
    shapes: dict[type[AdminView], dict[str, Any]] = {
        CollectionView: {
            "get": {"responses": {200: collection.list_shape}, "parameters": _list(collection)},
            "post": {"responses": {201: one}, "request": collection.input_shape},
        },
        MemberView: {
            "get": {"responses": {200: one}},
            "put": {"responses": {200: one}, "request": collection.input_shape},
            "patch": {"responses": {200: one}, "request": change},
            "delete": {"responses": {204: None}},
        },
        DuplicateView: {"post": {"responses": {201: one}, "request": change}},
        VersionsView: {
            "get": {
                "responses": {200: DocumentVersionListOutput},
                "parameters": page_parameters(MAX_VERSIONS),
            }
        },
    }
    for method, shape in shapes[base].items():
        handler = getattr(base, method)
        setattr(view, method, extend_schema(tags=tags, **shape)(_copied(handler)))
    return view


def _copied(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of its own, so that what is said about one collection stays with it."""

    def copy(view: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        return handler(view, request, *args, **kwargs)

    copy.__doc__, copy.__name__ = handler.__doc__, handler.__name__
    return copy


def page_parameters(maximum: int, default: int | None = None) -> list[OpenApiParameter]:
    """Return the parameters of a page of a list, for the reference."""
    limit = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default or maximum}
    offset = {"type": "integer", "minimum": 0, "default": 0}
    return [OpenApiParameter("limit", limit), OpenApiParameter("offset", offset)]


def _list(collection: Collection) -> list[OpenApiParameter]:
    return [
        OpenApiParameter("status", str, enum=collection.statuses),
        OpenApiParameter("q", str, description="Part of the name."),
        *(OpenApiParameter(name, str) for name in collection.filters),
        *page_parameters(MAX_LIMIT, DEFAULT_LIMIT),
    ]
