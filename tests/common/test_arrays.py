from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection

from phoenix_site.common import arrays
from phoenix_site.common.arrays import (
    BigintArray,
    BooleanArray,
    IntegerArray,
    PackedArray,
    SmallintArray,
    TextArray,
    TimeArray,
    UuidArray,
)

EAST = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (BigintArray, [0, -(2**63), 2**63 - 1]),
        (BooleanArray, [True, False]),
        (IntegerArray, [-(2**31), 2**31 - 1]),
        (SmallintArray, [-(2**15), 7]),
        (TextArray, ["", "a", "é\U0001f600", "a,b{}\"'"]),
        (
            TimeArray,
            [
                datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
                datetime(2026, 11, 18, 9, 15, 42, 1, tzinfo=EAST),
            ],
        ),
        (UuidArray, [UUID(int=0), UUID(int=2**128 - 1)]),
    ],
)
@pytest.mark.parametrize("is_empty", [False, True])
@pytest.mark.django_db
def test_a_packed_array_is_read_as_what_it_was(
    array: type[PackedArray], values: list[Any], is_empty: bool
) -> None:
    chosen = [] if is_empty else values
    connection.ensure_connection()

    with psycopg.Cursor(connection.connection) as cursor:
        arrays.register(cursor)
        row = cursor.execute("SELECT %b", [array(chosen)]).fetchone()  # type: ignore[call-arg,arg-type]

    assert row == (chosen,)
