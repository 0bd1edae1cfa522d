"""Measures: what goals count, and how much of it one event is.

A measure reads nothing but the event itself, so a count over the stored events gives the same
number whenever it is made. Amounts are ``Decimal`` with at most 8 decimals, more are cut off.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Context, Decimal
from hashlib import blake2b
from typing import Any, Final, cast

from ingestion.types import StoredEvent
from phoenix_site.common.conditions import BOARD_ROOTS, ConditionError, compile_condition
from phoenix_site.common.documents import Section, plain_json
from phoenix_site.common.json import encode
from phoenix_site.common.paths import (
    ABSENT,
    Reader,
    Roots,
    as_number,
    compile_reader,
    parse_path,
)
from rewards.rules.event_types import TypePatterns, compile_patterns, read_type_patterns
from rewards.types.measures import Contribution, Measure, MeasureType

__all__ = [
    "EVENT_MEASURES",
    "GOAL_ROOTS",
    "MAX_AMOUNT",
    "CompiledMeasure",
    "Tally",
    "compile_measure",
    "event_root",
    "measure_document",
    "read_conditions",
    "read_field",
    "read_measure",
    "tally_events",
]

# What counts events and nothing else; streak windows take these.
EVENT_MEASURES: Final[tuple[MeasureType, ...]] = ("count", "sum", "distinct")
PLACED: Final = "leaderboard.placed"
MAX_RANK: Final = 1_000_000
# Those of boards, also with the prefix of rules.
GOAL_ROOTS: Final = BOARD_ROOTS | {f"event.{root}" for root in BOARD_ROOTS}

# What a column of amounts holds with room to add many.
MAX_AMOUNT: Final = Decimal(10) ** 24
_ONE: Final = Decimal(1)
_CENT: Final = Decimal("0.00000001")
_WIDE: Final = Context(prec=60)
_FIELD_ROOTS: Final = Roots(GOAL_ROOTS)
_FINGERPRINT_BYTES: Final = 16

_KEYS_BY_TYPE: Final[Mapping[MeasureType, tuple[str, ...]]] = {
    "count": ("event_types", "conditions"),
    "sum": ("event_types", "conditions", "field"),
    "distinct": ("event_types", "conditions", "field"),
    "cumulative": ("metric",),
    "streak_milestone": ("streak_id",),
    "leaderboard_rank": ("leaderboard_id", "rank"),
}
MEASURE_KEYS: Final = tuple(dict.fromkeys(key for keys in _KEYS_BY_TYPE.values() for key in keys))


# --- Documents -----------------------------------------------------------------------------------


def read_measure(
    section: Section, *, types: Collection[MeasureType] = tuple(_KEYS_BY_TYPE)
) -> Measure | None:
    """Return the measure that ``section`` describes; ``None`` without a usable ``type``.

    Reads ``type`` and, by it, ``event_types, conditions, field, metric, streak_id,
    leaderboard_id, rank``; what the type does not read is a fault. Other keys are the caller's.
    """
    if not section.require("type"):
        return None
    if section.raw("type") not in types:
        section.refuse("type", f"must be one of {', '.join(types)}")
        return None
    measure_type = cast(MeasureType, section.raw("type"))
    wanted = _KEYS_BY_TYPE[measure_type]
    for key in MEASURE_KEYS:
        if key not in wanted and section.raw(key) not in (None, {}, []):
            section.refuse(key, f"is not used by {measure_type}")
    return Measure(
        type=measure_type,
        **{key: _READERS[key](section, key) for key in wanted},
    )


def measure_document(measure: Measure) -> dict[str, Any]:
    """Return ``measure`` in its one full form; ``read_measure`` of it gives ``measure`` again."""
    document: dict[str, Any] = {"type": measure.type}
    for key in _KEYS_BY_TYPE[measure.type]:
        value = getattr(measure, key)
        document[key] = list(value) if isinstance(value, tuple) else value
    return document


def read_conditions(section: Section, key: str) -> Any:
    """Return the condition tree at ``key`` as plain JSON, ``None`` where there is none."""
    document = section.raw(key)
    if document is None:
        return None
    try:
        compile_condition(document, roots=GOAL_ROOTS)
        return plain_json(document)
    except ConditionError as exc:
        section.faults.extend(fault.under(f"{section.path}.{key}") for fault in exc.faults)
    except ValueError as exc:
        section.refuse(key, str(exc))
    return None


def read_field(section: Section, key: str) -> str | None:
    """Return the required path into an event at ``key``."""
    if not section.require(key):
        return None
    try:
        is_known = _FIELD_ROOTS.allow(parse_path(section.raw(key)))
    except ValueError as exc:
        section.refuse(key, str(exc))
        return None
    if not is_known:
        section.refuse(key, f"is not a known path; paths start with {_FIELD_ROOTS.in_words}")
    return str(section.raw(key))


def _read_text(section: Section, key: str) -> str | None:
    if not section.require(key):
        return None
    value = section.raw(key)
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        section.refuse(key, "must be a text of 1 to 200 characters")
    return str(value)


def _read_rank(section: Section, key: str) -> int | None:
    return section.integer(key, 1, low=1, high=MAX_RANK) if section.require(key) else None


_READERS: Final[Mapping[str, Callable[[Section, str], Any]]] = {
    "event_types": read_type_patterns,
    "conditions": read_conditions,
    "field": read_field,
    "metric": _read_text,
    "streak_id": _read_text,
    "leaderboard_id": _read_text,
    "rank": _read_rank,
}


# --- Counting ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CompiledMeasure:
    """A measure ready to count.

    ``contribution(root)`` is what an event adds whose type ``types`` holds: an amount, the
    fingerprint of a value that counts once, or ``None`` if the event does not count. Nothing
    comes from events for ``cumulative`` and ``streak_milestone``: their ``types`` are empty.
    """

    measure: Measure
    types: TypePatterns
    contribution: Callable[[Mapping[str, Any]], Contribution | None]


@dataclass(slots=True)
class Tally:
    """A count under way: the amount, and the fingerprints of what counted once already."""

    amount: Decimal = Decimal(0)
    known: set[bytes] = field(default_factory=set)

    def add(self, contribution: Contribution) -> bool:
        """Add what one event is; return whether the amount changed."""
        if isinstance(contribution, bytes):
            if contribution in self.known:
                return False
            self.known.add(contribution)
            contribution = _ONE
        self.amount = add_amounts(self.amount, contribution)
        return bool(contribution)


def add_amounts(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact sum, kept within what is stored."""
    total = _WIDE.add(left, right)
    return min(max(total, -MAX_AMOUNT), MAX_AMOUNT)


def compile_measure(measure: Measure) -> CompiledMeasure:
    """Return a checked measure ready to count."""
    types = (PLACED,) if measure.type == "leaderboard_rank" else measure.event_types
    return CompiledMeasure(measure, compile_patterns(types), _compile_contribution(measure))


def event_root(event: StoredEvent) -> dict[str, Any]:
    """Return what conditions and fields of goals read of an event; make it once per event."""
    root = event.root
    root["event"] = dict(root)
    return root


def tally_events(compiled: CompiledMeasure, events: Iterable[StoredEvent]) -> Tally:
    """Return the count over events of one player, in the order of the log."""
    tally = Tally()
    for event in events:
        if compiled.types.hold(event.type):
            contribution = compiled.contribution(event_root(event))
            if contribution is not None:
                tally.add(contribution)
    return tally


def _compile_contribution(
    measure: Measure,
) -> Callable[[Mapping[str, Any]], Contribution | None]:
    if measure.type == "leaderboard_rank":
        return _compile_placement(measure)
    value = _compile_value(measure)
    condition = compile_condition(measure.conditions, roots=GOAL_ROOTS)
    if condition.is_always_true:
        return value
    matches = condition.matches
    return lambda root: value(root) if matches(root) else None


def _compile_value(measure: Measure) -> Callable[[Mapping[str, Any]], Contribution | None]:
    if measure.type == "count":
        return lambda root: _ONE
    if measure.field is None:  # counts no events at all
        return lambda root: None
    read = compile_reader(parse_path(measure.field))
    return _compile_amount(read) if measure.type == "sum" else _compile_fingerprint(read)


def _compile_amount(read: Reader) -> Callable[[Mapping[str, Any]], Decimal | None]:
    def amount(root: Mapping[str, Any]) -> Decimal | None:
        number = as_number(read(root))
        if number is None:
            return None
        value = Decimal(number)
        if abs(value) > MAX_AMOUNT:
            return None
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -8:
            return value.quantize(_CENT, rounding=ROUND_DOWN, context=_WIDE)
        return value

    return amount


def _compile_fingerprint(read: Reader) -> Callable[[Mapping[str, Any]], bytes | None]:
    def fingerprint(root: Mapping[str, Any]) -> bytes | None:
        value = read(root)
        return None if value is ABSENT or value is None else fingerprint_of(value)

    return fingerprint


def _compile_placement(measure: Measure) -> Callable[[Mapping[str, Any]], bytes | None]:
    """A window counts once, however often its placements are corrected."""

    def window(root: Mapping[str, Any]) -> bytes | None:
        attrs = root["attrs"]
        rank = as_number(attrs.get("rank"))
        if attrs.get("leaderboard_id") != measure.leaderboard_id:
            return None
        if rank is None or measure.rank is None or Decimal(rank) > measure.rank:
            return None
        return fingerprint_of(attrs.get("window_key"))

    return window


def fingerprint_of(value: Any) -> bytes:
    """Return 16 bytes that equal values share: 1 and 1.0, objects whatever the order of keys."""
    return blake2b(encode(_canonical(value)), digest_size=_FINGERPRINT_BYTES).digest()


def _canonical(value: Any) -> Any:
    # Every kind gets a shape of its own, so that the text "1" is not the number 1.
    if isinstance(value, bool) or value is None:
        return value
    number = as_number(value)
    if number is not None:
        return {"n": _number_text(number)}
    if isinstance(value, Mapping):
        return [[str(key), _canonical(value[key])] for key in sorted(value)]
    if isinstance(value, list | tuple):
        return {"l": [_canonical(item) for item in value]}
    return str(value)


def _number_text(number: int | Decimal) -> str:
    return str(number) if isinstance(number, int) else _plain_text(number)


def _plain_text(number: Decimal) -> str:
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    if not stripped:
        return "0"
    power = cast(int, exponent) + len(text) - len(stripped)
    whole = "-" * sign + stripped
    # Whole numbers read like an int, as long as that is short.
    return whole + "0" * power if 0 <= power <= 400 else f"{whole}e{power}"
