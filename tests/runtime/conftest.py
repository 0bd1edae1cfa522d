import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from phoenix_site.runtime.servers import PrivateServers, new_throw_away_dir


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Return a folder with a short path: below pytest's own, socket paths may get too long."""
    folder = new_throw_away_dir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def servers(data_dir: Path) -> Iterator[PrivateServers]:
    """Return durable servers that run."""
    with PrivateServers(data_dir) as running:
        yield running
