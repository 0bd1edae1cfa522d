"""Which texts may be a player's external id (00 section 2, PLR-1)."""

import re
from typing import Final

from players.constants import MAX_EXTERNAL_ID_CHARACTERS

__all__ = ["is_external_id"]

# No control character, no slash, no half of a surrogate pair, no white space at the ends.
_is_external_id: Final = re.compile(
    rf"(?!\s)[^\x00-\x1f\x7f-\x9f/\ud800-\udfff]{{1,{MAX_EXTERNAL_ID_CHARACTERS}}}(?<!\s)"
).fullmatch


def is_external_id(text: str) -> bool:
    """Return whether a tenant may call a player ``text``."""
    return _is_external_id(text) is not None
