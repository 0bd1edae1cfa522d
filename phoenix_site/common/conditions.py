"""Conditions over events: three dialects, one tree, one evaluator.

A: ``{"attrs.score": {"gte": 10, "lt": 99}}``, B: ``{"and": [{"condition": {…}}]}``,
C: ``{"op": "and", "conditions": [{"op": "eq", "field": …, "value": …}]}``. They nest in each
other. Boards, reward rules, achievements, streaks and wallets all use this module.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from phoenix_site.common.comparisons import (
    EXPRESSION_OPERATORS,
    OPERATORS,
    compile_expression_test,
    compile_test,
)
from phoenix_site.common.expressions import (
    Expression,
    ExpressionError,
    ExpressionFailure,
    compile_expression,
)
from phoenix_site.common.faults import Fault
from phoenix_site.common.paths import ABSENT, Reader, Roots, compile_reader, format_path, parse_path

__all__ = ["BOARD_ROOTS", "Condition", "ConditionError", "TraceLine", "compile_condition"]

MAX_COMPARISONS: Final = 50
MAX_NESTING: Final = 8

# A root that ends in a dot needs at least one more step; the others are whole paths.
BOARD_ROOTS: Final = frozenset(
    {"type", "occurred_at", "actor.user_id", "actor.metadata.", "attrs."}
)

Matcher = Callable[[Mapping[str, Any]], bool]
GroupKind = Literal["and", "or", "not"]

_GROUP_WORDS: Final[dict[str, GroupKind]] = {
    "and": "and",
    "all": "and",
    "or": "or",
    "any": "or",
    "not": "not",
}
_DIALECT_B_KEYS: Final = frozenset({"condition", *_GROUP_WORDS})
_OPERATOR_ALIASES: Final = {"not_in": "nin"}
_INSTANT_PATHS: Final = frozenset({("occurred_at",), ("event", "occurred_at")})


class ConditionError(ValueError):
    """The document is not a condition; ``faults`` has everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(
            "; ".join(f"{fault.path or 'condition'}: {fault.message}" for fault in faults)
        )
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One comparison and what it saw; ``path`` is its dotted place in the document."""

    path: str
    field: str
    op: str
    expected: Any
    actual: Any
    result: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A leaf of the tree: a field, an operator and what it is compared with."""

    path: str
    field: str
    op: str
    expected: Any
    expression: Expression | None
    read: Reader
    matches: Matcher

    def trace(self, root: Mapping[str, Any]) -> TraceLine:
        """Return what the comparison sees in ``root``."""
        actual = self.read(root)
        expected, note = self._expected_in(root)
        return TraceLine(
            path=self.path,
            field=self.field,
            op=self.op,
            expected=expected,
            actual=None if actual is ABSENT else actual,
            result=self.matches(root),
            note="path absent" if actual is ABSENT else note,
        )

    def _expected_in(self, root: Mapping[str, Any]) -> tuple[Any, str]:
        if self.expression is None:
            return self.expected, ""
        try:
            return self.expression.evaluate(root), ""
        except ExpressionFailure as failure:
            return None, failure.reason


@dataclass(frozen=True, slots=True)
class Group:
    """An inner node: all, any or none of its members hold. ``and`` without members is true."""

    kind: GroupKind
    members: tuple["Comparison | Group", ...]


Node = Comparison | Group
_ALWAYS: Final = Group("and", ())


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. ``document`` is what was sent, ``matches(root)`` answers true or false.

    ``fields`` are the paths it reads, those of value expressions included, each once.
    ``matches`` is a field, not a method, because one call less counts on every scored event.
    """

    document: Any
    fields: tuple[str, ...]
    is_always_true: bool
    matches: Matcher = field(compare=False, repr=False)
    comparisons: tuple[Comparison, ...] = field(compare=False, repr=False)

    def trace(self, root: Mapping[str, Any]) -> list[TraceLine]:
        """Return one line for every comparison, also for those that could not change the result."""
        return [comparison.trace(root) for comparison in self.comparisons]


def compile_condition(document: Any, *, roots: frozenset[str] = BOARD_ROOTS) -> Condition:
    """Return the compiled form of ``document``, whichever dialect it is written in.

    ``roots`` names the paths that exist: ``"attrs."`` allows everything below ``attrs``,
    ``"type"`` exactly itself. Raises: ``ConditionError`` with all faults at once.
    """
    compiler = _Compiler(roots)
    node = compiler.read_node(document, path="", nesting=0)
    if compiler.comparison_count > MAX_COMPARISONS:
        compiler.faults.append(Fault("", f"has more than {MAX_COMPARISONS} comparisons"))
    if compiler.faults:
        raise ConditionError(compiler.faults)
    matches, comparisons = _compile_node(node), _leaves(node)
    return Condition(
        document=document,
        fields=tuple(compiler.fields),
        is_always_true=not comparisons and matches({}),
        matches=matches,
        comparisons=tuple(comparisons),
    )


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A comparison as the document has it, with the place of each part for the faults."""

    path: str
    field: Any
    field_path: str
    op: Any
    op_path: str
    value: Any
    value_path: str
    is_expression: bool = False


class _Compiler:
    """Reads a document of any dialect into one tree and collects what is wrong on the way.

    Where something is wrong it goes on with a condition that is always true, so that one answer
    has every fault.
    """

    def __init__(self, roots: frozenset[str]) -> None:
        self.faults: list[Fault] = []
        self.fields: dict[str, None] = {}
        self.comparison_count = 0
        self._roots = Roots(roots)

    def read_node(self, document: Any, *, path: str, nesting: int) -> Node:
        if document is None or document == {}:
            return _ALWAYS
        if not isinstance(document, Mapping):
            return self._refuse(path, "must be an object")
        if "op" in document:
            return self._read_dialect_c(document, path=path, nesting=nesting)
        if not _DIALECT_B_KEYS.isdisjoint(document):
            return self._read_dialect_b(document, path=path, nesting=nesting)
        return self._read_dialect_a(document, path=path)

    def _refuse(self, path: str, message: str) -> Node:
        self.faults.append(Fault(path, message))
        return _ALWAYS

    def _read_dialect_a(self, document: Mapping[str, Any], *, path: str) -> Node:
        members: list[Node] = []
        for name, operators in document.items():
            here = _join(path, name)
            if isinstance(operators, Mapping) and operators:
                members += [
                    self._read_operator(name, op, value, path=here)
                    for op, value in operators.items()
                ]
            else:
                self._refuse(here, 'must be an object of operators, as in {"eq": 1}')
        return Group("and", tuple(members))

    def _read_operator(self, name: str, op: str, value: Any, *, path: str) -> Node:
        here = _join(path, op)
        return self._compile_leaf(
            _Leaf(
                path=here,
                field=name,
                field_path=path,
                op=op,
                op_path=here,
                value=value,
                value_path=here,
            )
        )

    def _read_dialect_b(self, document: Mapping[str, Any], *, path: str, nesting: int) -> Node:
        if len(document) != 1:
            return self._refuse(path, f"must have exactly one key, not {_in_words(document)}")
        ((key, content),) = document.items()
        here = _join(path, key)
        if key == "condition":
            return self._read_leaf(content, op_key="operator", path=here)
        if key == "not":
            return self._read_group("not", {here: content}, path=here, nesting=nesting)
        return self._read_list(_GROUP_WORDS[key], content, path=here, nesting=nesting)

    def _read_dialect_c(self, document: Mapping[str, Any], *, path: str, nesting: int) -> Node:
        kind = document["op"]
        if kind not in ("and", "or", "not"):
            return self._read_leaf(document, op_key="op", path=path)
        self._refuse_unknown_keys(document, {"op", "conditions"}, path=path)
        here = _join(path, "conditions")
        if "conditions" not in document:
            return self._refuse(here, "is required")
        return self._read_list(kind, document["conditions"], path=here, nesting=nesting)

    def _read_list(self, kind: GroupKind, content: Any, *, path: str, nesting: int) -> Node:
        if not isinstance(content, list | tuple):
            return self._refuse(path, "must be a list of conditions")
        if kind == "or" and not content:
            return self._refuse(path, "must not be empty: nothing would ever match")
        if kind == "not" and len(content) != 1:
            return self._refuse(path, "must have exactly one condition")
        members = {_join(path, str(index)): item for index, item in enumerate(content)}
        return self._read_group(kind, members, path=path, nesting=nesting)

    def _read_group(
        self, kind: GroupKind, members: Mapping[str, Any], *, path: str, nesting: int
    ) -> Node:
        if nesting >= MAX_NESTING:
            return self._refuse(path, f"nests deeper than {MAX_NESTING} levels")
        nodes = [
            self.read_node(member, path=member_path, nesting=nesting + 1)
            for member_path, member in members.items()
        ]
        return Group(kind, tuple(nodes))

    def _read_leaf(self, document: Any, *, op_key: str, path: str) -> Node:
        if not isinstance(document, Mapping):
            return self._refuse(path, "must be an object")
        allowed = {op_key, "field", "value", "value_expression"}
        self._refuse_unknown_keys(document, allowed, path=path)
        given = [key for key in ("value", "value_expression") if key in document]
        missing = [key for key in ("field", op_key) if key not in document]
        missing += [] if given else ["value"]
        for key in missing:
            self._refuse(_join(path, key), "is required")
        if len(given) > 1:
            return self._refuse(path, "must have value or value_expression, not both")
        if missing:
            return _ALWAYS
        leaf = _Leaf(
            path=path,
            field=document["field"],
            field_path=_join(path, "field"),
            op=document[op_key],
            op_path=_join(path, op_key),
            value=document[given[0]],
            value_path=_join(path, given[0]),
            is_expression=given[0] == "value_expression",
        )
        return self._compile_leaf(leaf)

    def _refuse_unknown_keys(
        self, document: Mapping[str, Any], allowed: set[str], *, path: str
    ) -> None:
        for key in document.keys() - allowed:
            self._refuse(_join(path, str(key)), "is not a known key")

    def _compile_leaf(self, leaf: _Leaf) -> Node:
        self.comparison_count += 1
        steps = self._read_field(leaf)
        op = self._read_op(leaf)
        if steps is None or op is None:
            return _ALWAYS
        try:
            if leaf.is_expression:
                return self._compile_expression_leaf(leaf, op, steps)
            return self._compile_value_leaf(leaf, op, steps)
        except ValueError as exc:
            return self._refuse(leaf.value_path, str(exc))

    def _read_field(self, leaf: _Leaf) -> tuple[str, ...] | None:
        try:
            steps = parse_path(leaf.field)
        except ValueError as exc:
            self._refuse(leaf.field_path, str(exc))
            return None
        if not self._roots.allow(steps):
            self._refuse(
                leaf.field_path, f"is not a known path; paths start with {self._roots.in_words}"
            )
            return None
        self.fields[format_path(steps)] = None
        return steps

    def _read_op(self, leaf: _Leaf) -> str | None:
        op = _OPERATOR_ALIASES.get(leaf.op, leaf.op) if isinstance(leaf.op, str) else None
        if op not in OPERATORS:
            self._refuse(leaf.op_path, f"must be one of {', '.join(OPERATORS)}")
            return None
        if leaf.is_expression and op not in EXPRESSION_OPERATORS:
            self._refuse(leaf.op_path, f"must be one of {', '.join(EXPRESSION_OPERATORS)} here")
            return None
        return op

    def _compile_value_leaf(self, leaf: _Leaf, op: str, steps: tuple[str, ...]) -> Comparison:
        read = compile_reader(steps)
        test = compile_test(op, leaf.value, is_instant=steps in _INSTANT_PATHS)
        return Comparison(
            path=leaf.path,
            field=leaf.field,
            op=op,
            expected=leaf.value,
            expression=None,
            read=read,
            matches=lambda root: test(read(root)),
        )

    def _compile_expression_leaf(self, leaf: _Leaf, op: str, steps: tuple[str, ...]) -> Comparison:
        if steps in _INSTANT_PATHS:
            raise ValueError("a time cannot be compared with a number")
        try:
            expression = compile_expression(leaf.value)
        except ExpressionError as exc:
            raise ValueError(f"{exc.message} at character {exc.position + 1}") from exc
        self.fields.update(dict.fromkeys(expression.paths))
        read = compile_reader(steps)
        test = compile_expression_test(op, expression)
        return Comparison(
            path=leaf.path,
            field=leaf.field,
            op=op,
            expected=leaf.value,
            expression=expression,
            read=read,
            matches=lambda root: test(read(root), root),
        )


def _compile_node(node: Node) -> Matcher:
    if isinstance(node, Comparison):
        return node.matches
    members = [_compile_node(member) for member in node.members]
    if node.kind == "not":
        return lambda root: not members[0](root)
    if len(members) == 1:
        return members[0]
    return _compile_or(members) if node.kind == "or" else _compile_and(members)


def _compile_and(members: Sequence[Matcher]) -> Matcher:
    if not members:
        return lambda root: True

    # A plain loop: all() over a generator costs twice as much for the usual two or three members.
    def matches(root: Mapping[str, Any]) -> bool:
        for member in members:  # noqa: SIM110
            if not member(root):
                return False
        return True

    return matches


def _compile_or(members: Sequence[Matcher]) -> Matcher:
    def matches(root: Mapping[str, Any]) -> bool:
        for member in members:  # noqa: SIM110
            if member(root):
                return True
        return False

    return matches


def _leaves(node: Node) -> list[Comparison]:
    if isinstance(node, Comparison):
        return [node]
    return [leaf for member in node.members for leaf in _leaves(member)]


def _join(path: str, step: str) -> str:
    return f"{path}.{step}" if path else str(step)


def _in_words(document: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, document)))
