import pytest
from django.db import transaction

from phoenix_site.common.commits import after_commit

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_effect_follows_the_commit_with_its_arguments() -> None:
    seen: list[str] = []

    with transaction.atomic():
        after_commit(seen.append, "window")
        assert seen == []

    assert seen == ["window"]


def test_a_failing_effect_does_not_reach_who_committed(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_what: str) -> None:
        raise ConnectionError("the broker is away")

    with transaction.atomic():
        after_commit(fail, "window")

    assert "fail" in caplog.text


def test_nothing_follows_a_rollback() -> None:
    seen: list[str] = []

    with transaction.atomic():
        after_commit(seen.append, "window")
        transaction.set_rollback(True)

    assert seen == []
