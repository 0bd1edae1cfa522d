"""JSON in forms: text for people on one side, exact values on the other."""

from typing import Any

import msgspec
from django import forms
from django.core.exceptions import ValidationError

from phoenix_site.common.exceptions import InvalidJsonError
from phoenix_site.common.json import decode, encode

__all__ = ["JsonField", "pretty"]


class JsonField(forms.CharField):
    """JSON text with exact numbers; empty means ``None``."""

    def to_python(self, value: Any) -> Any:
        """Return the value that the text is. Raises: ``ValidationError``."""
        if value in self.empty_values:
            return None
        try:
            return decode(value)
        except InvalidJsonError as exc:
            raise ValidationError(exc.message.replace("The body", "This")) from exc

    def prepare_value(self, value: Any) -> Any:
        """Return the text to show."""
        return value if value is None or isinstance(value, str) else pretty(value)


def pretty(document: Any) -> str:
    """Return ``document`` as JSON for people."""
    return msgspec.json.format(encode(document), indent=2).decode()
