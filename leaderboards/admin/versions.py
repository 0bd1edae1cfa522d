"""The versions of a board with what each of them changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leaderboards.models import BoardVersion
from phoenix_site.common.differences import Difference, differences
from phoenix_site.common.json import encode


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version for people; ``changes`` are pairs of values by path, empty for the first one."""

    number: int
    author: str
    created_at: datetime
    effect: str
    changes: list[tuple[str, str, str]]


def version_rows(versions: Sequence[BoardVersion]) -> list[VersionRow]:
    """Return ``versions`` (newest first) with their differences to the ones before."""
    earlier: list[Any] = [version.document for version in versions[1:]]
    return [
        VersionRow(
            version.version,
            version.author,
            version.created_at,
            version.get_effect_display(),
            [_shown(each) for each in differences(before, version.document)] if before else [],
        )
        for version, before in zip(versions, [*earlier, None], strict=True)
    ]


def _shown(difference: Difference) -> tuple[str, str, str]:
    path = difference.path.removeprefix("config.")
    return path, _text(difference.before), _text(difference.after)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else encode(value).decode()
