"""Deliveries with real connections and processes: one call at a time, and deaths cost no call."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from tenants.models import Delivery, Tenant
from tenants.services import deliveries, signing_keys
from tenants.tasks import deliver_due
from tests.operators import Operator, Reply, running_operator
from tests.tenants.delivery_cast import attempts, fresh, owe, told

pytestmark = pytest.mark.django_db(transaction=True)

# A sender in a process of its own, which the test kills while the operator holds its call.
SENDER = """
import django
django.setup()
from django.conf import settings
from django.db import connection
from django.utils import timezone
settings.PHOENIX_OUTBOUND_ALLOW = ["127.0.0.0/8"]
connection.settings_dict["NAME"] = {name!r}
from tenants.services import deliveries
deliveries.deliver_due(clock=timezone.now, seconds=5)
"""


@pytest.fixture(autouse=True)
def _listening(settings: Settings) -> None:
    settings.PHOENIX_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    settings.PHOENIX_DELIVERY_HANDLERS = {"bonus_credit": "tests.tenants.delivery_cast.hear"}
    told.clear()


@pytest.fixture
def operator(tenant_a: Tenant) -> Iterator[Operator]:
    with running_operator() as made:
        Tenant.objects.filter(pk="tenant-a").update(operator_base_url=made.url)
        yield made


def sender(counts: list[int]) -> threading.Thread:
    def run() -> None:
        try:
            counts.append(deliveries.deliver_due(clock=timezone.now, seconds=5))
        finally:
            connection.close()

    return threading.Thread(target=run)


def test_two_senders_never_send_one_delivery_at_the_same_time(operator: Operator) -> None:
    held = threading.Event()
    operator.answers(Reply(hold=held))
    made = owe(now=timezone.now())
    counts: list[int] = []
    first, second = sender(counts), sender(counts)

    first.start()
    assert operator.arrived.acquire(timeout=10)
    second.start()
    second.join(10)
    assert counts == [0], "the second found nothing to do while the first was sending"
    held.set()
    first.join(10)

    assert sorted(counts) == [0, 1]
    assert len(operator.calls) == 1
    assert fresh(made).state == "delivered"
    assert len(told) == 1


def test_many_senders_share_what_is_due_without_a_second_call(operator: Operator) -> None:
    signing_keys.ensure_signing_key("outbound", now=timezone.now())
    for number in range(30):
        owe(f"grant-{number}", order_key=f"player-{number % 5}", now=timezone.now())
    counts: list[int] = []
    # One that finds every key and every tenant's share taken ends; the others go on.
    senders = [sender(counts) for _ in range(4)]

    for each in senders:
        each.start()
    for each in senders:
        each.join(30)
    while deliveries.deliver_due(clock=timezone.now, seconds=5):
        pass

    sent = [call.headers["idempotency-key"] for call in operator.calls]
    assert sorted(sent) == sorted(f"grant-{number}" for number in range(30))
    for player in range(5):
        mine = [number for key in sent if (number := int(key[6:])) % 5 == player]
        assert mine == sorted(mine), "in the order in which they were owed"
    assert {each.state for each in Delivery.objects.all()} == {"delivered"}


def test_no_transaction_is_open_while_the_operator_answers(operator: Operator) -> None:
    held = threading.Event()
    operator.answers(Reply(hold=held))
    made = owe(now=timezone.now())
    thread = sender([])
    thread.start()
    assert operator.arrived.acquire(timeout=10)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = %s",
            ["client backend"],
        )
        open_count = cursor.fetchone()[0]
    # Nobody's lock either: the row can be taken without waiting.
    Delivery.objects.filter(pk=made.pk).update(reference="touched")
    held.set()
    thread.join(10)

    assert open_count == 0
    assert fresh(made).state == "delivered"


def test_a_killed_senders_delivery_is_sent_again(operator: Operator, tmp_path: Path) -> None:
    held = threading.Event()
    operator.answers(Reply(hold=held), Reply())
    made = owe(now=timezone.now())
    code = SENDER.format(name=connection.settings_dict["NAME"])
    child = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": "."})
    try:
        assert operator.arrived.acquire(timeout=60)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        held.set()

    assert deliveries.deliver_due(clock=timezone.now, seconds=5) == 0, "the lease still runs"
    later = timezone.now() + timedelta(seconds=61)
    assert deliveries.deliver_due(clock=lambda: later, seconds=5) == 1

    assert fresh(made).state == "delivered"
    assert [call.headers["idempotency-key"] for call in operator.calls] == ["grant-1"] * 2
    assert [each.error for each in attempts(made)] == ["lost", ""]


def test_the_task_sends_what_is_due(operator: Operator) -> None:
    made = owe(now=timezone.now())

    deliver_due()

    assert fresh(made).state == "delivered"
