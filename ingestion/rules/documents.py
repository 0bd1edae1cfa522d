"""What may stand inside ``actor.metadata`` and ``attrs`` (ING-12)."""

import re
from decimal import Decimal
from typing import Any

from ingestion import constants as c
from phoenix_site.common.exceptions import Detail

_find_unstorable = re.compile(r"[\x00\ud800-\udfff]").search
_INTEGER_LIMIT = 10**c.MAX_NUMBER_DIGITS


class DocumentCheck:
    """The check of an event's documents, which share one limit of members.

    ``has_fractions`` afterwards says whether any number was written with a point or an exponent;
    without ``has_escapes`` no text is searched for what the database cannot store.
    """

    __slots__ = ("faults", "has_escapes", "has_fractions", "members")

    def __init__(self, *, has_escapes: bool) -> None:
        self.faults: list[Detail] = []
        self.has_escapes = has_escapes
        self.has_fractions = False
        self.members = 0

    def check(self, document: Any, path: str) -> None:
        """Collect the faults of the object ``document``, which the event holds at ``path``."""
        self._check_object(document, path, 1)
        if self.members > c.MAX_MEMBERS:
            self._refuse(path, f"has over {c.MAX_MEMBERS} members and elements with its siblings")

    def _check_object(self, node: dict[str, Any], path: str, depth: int) -> None:
        self.members += len(node)
        has_escapes = self.has_escapes
        for key, value in node.items():
            if not 0 < len(key) <= c.MAX_KEY_CHARACTERS or (has_escapes and _find_unstorable(key)):
                self._refuse_key(key, path)
            kind = type(value)
            if kind is str:
                if has_escapes and _find_unstorable(value):
                    self._refuse(f"{path}.{key}", "holds a NUL or half of a surrogate pair")
            elif kind is int:
                if not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
                    self._refuse(f"{path}.{key}", f"has over {c.MAX_NUMBER_DIGITS} digits")
            elif kind is not bool and value is not None:
                self._check_other(value, f"{path}.{key}", depth)

    def _check_list(self, node: list[Any], path: str, depth: int) -> None:
        self.members += len(node)
        for index, value in enumerate(node):
            self._check_other(value, f"{path}.{index}", depth)

    def _check_other(self, value: Any, path: str, depth: int) -> None:
        kind = type(value)
        if kind is Decimal:
            self.has_fractions = True
            self._check_fraction(value, path)
        elif kind is dict or kind is list:
            if depth >= c.MAX_NESTING:
                self._refuse(path, f"is nested over {c.MAX_NESTING} levels")
            elif self.members <= c.MAX_MEMBERS:
                step = self._check_object if kind is dict else self._check_list
                step(value, path, depth + 1)
        elif kind is str:
            if self.has_escapes and _find_unstorable(value):
                self._refuse(path, "holds a NUL or half of a surrogate pair")
        elif kind is int and not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
            self._refuse(path, f"has over {c.MAX_NUMBER_DIGITS} digits")

    def _check_fraction(self, value: Decimal, path: str) -> None:
        if not value.is_finite():
            self._refuse(path, "is beyond the range of numbers")
            return
        _sign, digits, exponent = value.as_tuple()
        if len(digits) > c.MAX_NUMBER_DIGITS:
            self._refuse(path, f"has over {c.MAX_NUMBER_DIGITS} digits")
        elif int(exponent) > c.MAX_NUMBER_EXPONENT or value.adjusted() < -c.MAX_NUMBER_EXPONENT:
            self._refuse(path, f"has an exponent beyond ±{c.MAX_NUMBER_EXPONENT}")

    def _refuse_key(self, key: str, path: str) -> None:
        if not key:
            message = "has a key without characters"
        elif len(key) > c.MAX_KEY_CHARACTERS:
            message = f"has a key of over {c.MAX_KEY_CHARACTERS} characters"
        else:
            message = "has a key with a NUL or half of a surrogate pair"
        self._refuse(path, message)

    def _refuse(self, path: str, message: str) -> None:
        # A hostile body could hold thousands; the first ones are enough to mend it.
        if len(self.faults) < c.MAX_DOCUMENT_FAULTS:
            self.faults.append(Detail(_printable(path), message, "bad_value"))


def _printable(path: str) -> str:
    """Return ``path`` so that it can be written into an answer whatever its keys hold."""
    return path.encode("ascii", "backslashreplace").decode() if _find_unstorable(path) else path
