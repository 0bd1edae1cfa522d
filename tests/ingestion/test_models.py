import pytest
from django.db import IntegrityError, connection, transaction

from ingestion.models import Event
from tests.ingestion.factories import append

pytestmark = pytest.mark.django_db


def test_a_stored_event_cannot_be_changed() -> None:
    event = append("e1")

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(attrs={"score": 2})

    assert Event.objects.get(pk=event.pk).attrs == event.attrs


def test_a_stored_event_cannot_be_deleted() -> None:
    event = append("e1")

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.filter(pk=event.pk).delete()

    assert Event.objects.filter(pk=event.pk).exists()


def test_a_purge_names_itself_and_may_delete() -> None:
    event = append("e1")

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('phoenix.purge', 'events', true)")
        Event.objects.filter(pk=event.pk).delete()

    assert not Event.objects.filter(pk=event.pk).exists()


def test_an_erasure_may_replace_the_player_and_nothing_else() -> None:
    event = append("e1", user_id="ana")

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('phoenix.erasure', 'events', true)")
        Event.objects.filter(pk=event.pk).update(user_id="erased-1")
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            Event.objects.filter(pk=event.pk).update(user_id="erased-2", attrs={"score": 2})

    assert Event.objects.get(pk=event.pk).user_id == "erased-1"


def test_the_right_to_purge_ends_with_its_transaction() -> None:
    event = append("e1")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('phoenix.purge', 'events', true)")
        transaction.set_rollback(True)

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.filter(pk=event.pk).delete()
