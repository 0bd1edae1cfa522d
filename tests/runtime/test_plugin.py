import pytest

from tests.servers import redis_database


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/3"),
        ("rediss://user:secret@cache:6380", "rediss://user:secret@cache:6380/3"),
        ("unix:///run/x/valkey.sock?db=0", "unix:///run/x/valkey.sock?db=3"),
        ("unix:///run/x/valkey.sock", "unix:///run/x/valkey.sock?db=3"),
    ],
)
def test_a_worker_gets_a_database_number_of_its_own(url: str, expected: str) -> None:
    assert redis_database(url, 3) == expected
