import logging
from collections.abc import Iterator

import pytest

from tests.processes import RunningPhoenix

# A line per request would hide what a failed test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def phoenix() -> Iterator[RunningPhoenix]:
    """Return a Phoenix that survives what tests do to it; each test has a board of its own."""
    with RunningPhoenix(arguments=["--workers", "2"]) as running:
        yield running
