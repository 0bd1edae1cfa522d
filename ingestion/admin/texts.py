from typing import Any

import msgspec
from django.utils.html import format_html
from django.utils.safestring import SafeString

from phoenix_site.common.json import encode, rendered


def indented(value: Any) -> SafeString:
    """Return JSON for a person to read, its numbers exactly as they are stored."""
    text = msgspec.json.format(encode(rendered(value)), indent=2).decode()
    return format_html('<pre class="phoenix-json">{}</pre>', text)
