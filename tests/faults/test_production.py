"""What a production refuses to do with a sandbox (spec 01 acceptance 25)."""

import pytest
from cryptography.fernet import Fernet

from tests.faults import cast
from tests.processes import RunningPhoenix

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("phoenix")]


def test_the_sandbox_is_not_seeded_in_production(phoenix: RunningPhoenix) -> None:
    document = (phoenix.data_dir / "sandbox.json").read_bytes()

    done = cast.manage(
        phoenix,
        "seed_sandbox",
        "--json",
        PHOENIX_ENV="prod",
        SECRET_KEY="x" * 64,
        PHOENIX_SECRET_KEYS=Fernet.generate_key().decode(),
        ALLOWED_HOSTS="phoenix.example",
    )

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert (phoenix.data_dir / "sandbox.json").read_bytes() == document
