import pytest
from django.core.checks import ERROR, WARNING
from django.db import connection
from pytest_django.fixtures import Settings

from ingestion import checks


def test_the_settings_as_they_are_name_what_exists() -> None:
    assert checks.check_dotted_paths(None) == []


def test_a_path_that_leads_nowhere_is_named(settings: Settings) -> None:
    settings.PHOENIX_EVENT_CONSUMERS = {"scoring": {"task": "nowhere.tasks.score"}}
    settings.PHOENIX_RETENTION_HOLDS = ["ingestion.selectors.no_such_hold"]

    found = checks.check_dotted_paths(None)

    assert [error.id for error in found] == ["ingestion.E001"] * 2
    assert "PHOENIX_EVENT_CONSUMERS['scoring']['task']" in found[0].msg
    assert "no_such_hold" in found[1].msg


@pytest.mark.django_db
def test_commits_that_are_not_durable_are_refused_in_production(settings: Settings) -> None:
    assert checks.check_durable_commits(None) == []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = on")
        assert checks.check_durable_commits(None, databases=["default"]) == []
        cursor.execute("SET LOCAL synchronous_commit = off")

    (found,) = checks.check_durable_commits(None, databases=["default"])

    assert (found.id, found.level) == ("ingestion.E002", WARNING)
    settings.PHOENIX_ENV = "prod"
    assert checks.check_durable_commits(None, databases=["default"])[0].level == ERROR
