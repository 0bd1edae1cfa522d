"""Conditions of any dialect as the one tree that people edit and read.

A group is ``{"op": "and" | "or" | "not", "conditions": […]}``, a comparison ``{"op", "field",
"value" | "value_expression"}``: the third dialect, so that the tree is a condition itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from phoenix_site.common.values import are_equal

__all__ = ["GROUPS", "are_same", "comparisons_in", "is_group", "tree_of"]

GROUPS: Final[Mapping[str, str]] = {
    "and": "and",
    "all": "and",
    "or": "or",
    "any": "or",
    "not": "not",
}
_VALUES: Final = ("value", "value_expression")
_MAX_DEPTH: Final = 16

Tree = dict[str, Any]


class _UnreadableError(ValueError):
    """The document is no condition."""


def tree_of(document: Any) -> Tree | None:
    """Return the condition as a tree whose root is a group, ``None`` for what is no condition.

    Nothing at all is a group without members, which always holds.
    """
    try:
        node = _read(document, 0)
    except _UnreadableError:
        return None
    return node if is_group(node) else _group("and", [node])


def is_group(node: Mapping[str, Any]) -> bool:
    """Whether a node of a tree is a group, and no comparison."""
    return node.get("op") in ("and", "or", "not") and "conditions" in node


def are_same(first: Any, second: Any) -> bool:
    """Whether two documents are the same condition, whichever dialect each is written in."""
    trees = tree_of(first), tree_of(second)
    return None not in trees and are_equal(*trees)


def comparisons_in(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the comparisons of a tree in their order."""
    if not is_group(node):
        yield node
        return
    for member in node["conditions"]:
        yield from comparisons_in(member)


def _group(kind: str, members: Sequence[Tree]) -> Tree:
    return {"op": kind, "conditions": list(members)}


def _read(document: Any, depth: int) -> Tree:
    if document is None or document == {}:
        return _group("and", [])
    if not isinstance(document, Mapping) or depth > _MAX_DEPTH:
        raise _UnreadableError
    if "op" in document:
        return _read_tree(document, depth)
    if "condition" in document or not GROUPS.keys().isdisjoint(document):
        return _read_nested(document, depth)
    return _read_flat(document)


def _read_tree(document: Mapping[str, Any], depth: int) -> Tree:
    if document["op"] not in ("and", "or", "not"):
        return _comparison(document, document["op"])
    return _group(document["op"], _members(document.get("conditions"), depth))


def _read_nested(document: Mapping[str, Any], depth: int) -> Tree:
    if len(document) != 1:
        raise _UnreadableError
    ((key, content),) = document.items()
    if key == "condition":
        if not isinstance(content, Mapping):
            raise _UnreadableError
        return _comparison(content, content.get("operator"))
    if key == "not":
        return _group("not", [_read(content, depth + 1)])
    return _group(GROUPS[key], _members(content, depth))


def _members(content: Any, depth: int) -> list[Tree]:
    if not isinstance(content, list | tuple):
        raise _UnreadableError
    return [_read(member, depth + 1) for member in content]


def _read_flat(document: Mapping[str, Any]) -> Tree:
    members: list[Tree] = []
    for field, operators in document.items():
        if not isinstance(operators, Mapping) or not operators:
            raise _UnreadableError
        members += [
            _comparison({"field": field, "value": value}, op) for op, value in operators.items()
        ]
    return members[0] if len(members) == 1 else _group("and", members)


def _comparison(content: Mapping[str, Any], op: Any) -> Tree:
    field = content.get("field", "")
    if not isinstance(op, str) or not isinstance(field, str):
        raise _UnreadableError
    given = {key: content[key] for key in _VALUES if key in content}
    return {"op": "nin" if op == "not_in" else op, "field": field, **given}
