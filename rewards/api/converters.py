"""Parts of paths."""

from typing import Final

from django.urls import register_converter
from django.urls.converters import StringConverter

from rewards.constants import RESERVED_IDS

__all__ = ["MEMBER"]

MEMBER: Final = "member"


class MemberConverter(StringConverter):
    """The id of a thing that tenants name, which no word is that stands in the same place."""

    regex = rf"(?!(?:{'|'.join(sorted(RESERVED_IDS))})(?:/|$))[^/]+"


register_converter(MemberConverter, MEMBER)
