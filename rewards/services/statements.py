"""Run set-wise statements past Django's cursor, which would write arrays into their text."""

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection

from phoenix_site.common import arrays

__all__ = ["run"]


def run(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a statement whose ``%b`` parameters may be packed arrays."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        arrays.register(cursor)
        cursor.execute(statement, parameters, binary=True)
        return [] if cursor.description is None else cursor.fetchall()
