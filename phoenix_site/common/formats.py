"""JSON for Django REST framework: exact numbers in and out.

Apart from the views, because the framework imports these by their settings while it loads its own
view classes.
"""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from phoenix_site.common.exceptions import TooLargeError
from phoenix_site.common.handler import MAX_BODY_BYTES
from phoenix_site.common.json import decode, encode, rendered


class JSONRenderer(BaseRenderer):
    """Write JSON with exact numbers and UTC times."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else encode(rendered(data))


class JSONParser(BaseParser):
    """Read JSON with exact numbers, at most ``MAX_BODY_BYTES``."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read()
        if len(body) > MAX_BODY_BYTES:
            raise TooLargeError(f"The body is over {MAX_BODY_BYTES} bytes.")
        return decode(body)
