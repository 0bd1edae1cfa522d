"""What is said about the collections of the admin gateway, which all answer alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from phoenix_site.reference.types import Key, Operation

__all__ = ["ADMIN_ERRORS", "BODY_ERRORS", "KEY_ERRORS", "CollectionWords", "collection_operations"]

ADMIN_ERRORS: Final = (
    "VAL_001",
    "AUTH_001",
    "AUTH_002",
    "AUTH_003",
    "AUTH_005",
    "NOT_FOUND",
    "METHOD",
    "RATE_001",
    "SRV_002",
)
BODY_ERRORS: Final = ("VAL_003", "TOO_LARGE", "MEDIA_TYPE")
KEY_ERRORS: Final = ("IDEMPOTENCY_CONFLICT", "IDEMPOTENCY_IN_PROGRESS")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionWords:
    """A collection in words: ``one`` and ``many`` as in "reward item" and "reward items".

    ``path`` stands after ``/v1/tenants/{tenant_id}/``; ``plural`` names the list in an answer and
    ``key`` the last part of a member's path. ``request`` is a new object, ``answer`` what is shown
    of it, ``patch`` a change; without ``patch`` the method does not exist. ``also`` are further
    addresses of the list with ``tenant_id`` in the query; ``shared`` those that another operation
    describes. ``errors`` are further refusals of every change.
    """

    path: str
    plural: str
    key: str
    one: str
    many: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    patch: Mapping[str, Any] | None
    duplicates: bool = True
    versions: bool = True
    also: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    # Sentences by operation: list, create, get, replace, change, archive, duplicate, versions.
    descriptions: Mapping[str, str] = field(default_factory=dict)


def collection_operations(words: CollectionWords) -> dict[Key, Operation]:
    """Return the operations of every address of the collection."""
    places = [(f"/v1/tenants/{{tenant_id}}/{words.path}", "")]
    short = [f"/v1/{words.path}", *(f"/{also}" for also in words.also)]
    places += [(place, "ByQuery" * (1 + count)) for count, place in enumerate(short)]
    found: dict[Key, Operation] = {}
    for place, ending in places:
        if place.removeprefix("/") not in words.shared:
            found |= _list_operations(words, place, ending)
        found |= _member_operations(words, f"{place}/{{{words.key}}}", ending)
    return found


def _list_operations(words: CollectionWords, place: str, ending: str) -> dict[Key, Operation]:
    article = _article(words.one)
    return {
        ("get", place): Operation(
            id=f"list{_camel(words.path)}{ending}",
            summary=f"List {words.many}",
            description=words.descriptions.get("list", ""),
            errors=ADMIN_ERRORS,
            answer={"total": 1, words.plural: [words.answer]},
        ),
        ("post", place): Operation(
            id=f"create{_camel(words.path)}{ending}",
            summary=f"Make {article}",
            description=words.descriptions.get("create", "Every fault is reported with its path."),
            errors=(*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS, "CONFLICT", *words.errors),
            request=words.request,
            answer=words.answer,
        ),
    }


def _member_operations(words: CollectionWords, place: str, ending: str) -> dict[Key, Operation]:
    name = f"{_camel(words.path)}Member{ending}"
    article = _article(words.one)
    change = (*ADMIN_ERRORS, *BODY_ERRORS, "CONFLICT", "VERSION_CONFLICT", *words.errors)
    newer = {**words.answer, "version": 2}
    found = {
        ("get", place): Operation(
            id=f"get{name}",
            summary=f"Read {article}",
            description=words.descriptions.get("get", ""),
            errors=ADMIN_ERRORS,
            answer=words.answer,
        ),
        ("put", place): Operation(
            id=f"replace{name}",
            summary=f"Replace {article}",
            description=words.descriptions.get("replace", "What is left out gets its default."),
            errors=change,
            request=words.request,
            answer=newer,
        ),
        ("delete", place): Operation(
            id=f"archive{name}",
            summary=f"Archive {article}",
            description=words.descriptions.get("archive", ""),
            errors=(*ADMIN_ERRORS, *words.errors),
        ),
    }
    if words.patch is not None:
        found["patch", place] = Operation(
            id=f"change{name}",
            summary=f"Change some fields of {article}",
            description=words.descriptions.get(
                "change", "Objects are merged, lists replaced (RFC 7396)."
            ),
            errors=change,
            request={**words.patch, "version": 1},
            answer=newer,
        )
    return found | _further_operations(words, place, name)


def _further_operations(words: CollectionWords, place: str, name: str) -> dict[Key, Operation]:
    found: dict[Key, Operation] = {}
    if words.duplicates:
        found["post", f"{place}/duplicate"] = Operation(
            id=f"duplicate{name}",
            summary=f"Copy {_article(words.one)}",
            description=words.descriptions.get(
                "duplicate", "Fields in the body replace those of the original."
            ),
            errors=(*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS, "CONFLICT", *words.errors),
            request={"name": "A copy"},
            answer=words.answer,
        )
    if words.versions:
        found["get", f"{place}/versions"] = Operation(
            id=f"list{name}Versions",
            summary=f"List the versions of {_article(words.one)}",
            description=words.descriptions.get("versions", "Newest first, each with its author."),
            errors=ADMIN_ERRORS,
            answer={
                "total": 1,
                "versions": [
                    {
                        "version": 1,
                        "author": "Back office",
                        "reason": "",
                        "created_at": "2026-11-16T12:00:00Z",
                        "document": words.request,
                    }
                ],
            },
        )
    return found


def _camel(path: str) -> str:
    return "".join(part.capitalize() for part in path.replace("/", "-").split("-"))


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
