"""Ids that tenants choose."""

import re
from typing import Any, TypeGuard

from rewards.constants import RESERVED_IDS, SLUG_PATTERN

_is_slug = re.compile(SLUG_PATTERN).fullmatch


def is_slug(value: Any) -> TypeGuard[str]:
    """Whether ``value`` may be the id of a rule, ladder or rank."""
    return isinstance(value, str) and value not in RESERVED_IDS and bool(_is_slug(value))
