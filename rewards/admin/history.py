"""The versions of a configured object, as its page shows them."""

from collections.abc import Sequence
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phoenix_site.common.differences import Difference, differences
from phoenix_site.common.json import encode
from rewards.models import DocumentVersion

__all__ = ["history_table"]

_SHOWN: Final = 30
_LONGEST: Final = 120
_TABLE: Final = (
    '<div class="phoenix-scroll"><table class="phoenix-table phoenix-diff"><thead><tr>'
    "<th>Version</th><th>When (UTC)</th><th>By</th><th>Reason</th><th>Changes</th></tr></thead>"
    "<tbody>{}</tbody></table></div>"
)
_ROW: Final = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"
_CHANGE: Final = '<div>{} <span class="is-before">{}</span> <span class="is-after">{}</span></div>'


def history_table(newest_first: Sequence[DocumentVersion]) -> SafeString:
    """Return the versions with what each changed, as a table; only the latest where many are."""
    earlier: list[DocumentVersion | None] = [*newest_first[1:], None]
    pairs = list(zip(newest_first, earlier, strict=True))[:_SHOWN]
    rows = format_html_join("", _ROW, (_row(version, before) for version, before in pairs))
    return format_html(_TABLE, rows)


def _row(version: DocumentVersion, before: DocumentVersion | None) -> tuple[Any, ...]:
    changes = [] if before is None else differences(before.document, version.document)
    shown = format_html_join("", _CHANGE, map(_cells, changes)) if changes else "-"
    made = f"{version.created_at:%d %b %Y, %H:%M:%S}"
    return version.version, made, version.author or "Phoenix", version.reason or "-", shown


def _cells(change: Difference) -> tuple[str, str, str]:
    return change.path.replace("_", " "), _text(change.before), _text(change.after)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
