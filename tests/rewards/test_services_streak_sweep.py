"""When windows may close: not before every event received before their end was counted."""

from datetime import timedelta

import pytest
from django.utils import timezone

from rewards.models import StreakClock, StreakWindow
from rewards.services import streak_sweep
from tenants.models import Tenant
from tests.rewards import rule_log
from tests.rewards.streak_cast import HOUR, make, send

# Whether an event is counted is asked of the log, so it has to be committed.
pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
HOURLY = {"type": "calendar", "period": "hourly"}


def test_the_clock_follows_the_consumer(tenant_a: Tenant) -> None:
    make(tenant_a)
    now = timezone.now()
    send(tenant_a, now)

    marked = streak_sweep.counted_until(now=now)
    waiting = streak_sweep.counted_until(now=now + SECOND)
    rule_log.process(now=now)
    passed = streak_sweep.counted_until(now=now + 2 * SECOND)

    assert (marked, waiting) == (None, None)
    assert passed == now - SECOND
    # The next mark is tried at once.
    assert StreakClock.objects.get().as_of == now + SECOND


def test_a_run_does_not_break_while_its_event_waits_to_be_counted(tenant_a: Tenant) -> None:
    make(tenant_a, window=HOURLY)
    # Two hours ago, and one that is not read yet of an hour ago.
    now = timezone.now()
    send(tenant_a, now - 2 * HOUR)
    rule_log.process(now=now - 2 * HOUR)
    send(tenant_a, now - HOUR)

    for number in range(3):
        streak_sweep.sweep_streaks(now=now + number * SECOND)
    waiting = list(StreakWindow.objects.values_list("state", flat=True))
    rule_log.process(now=now)
    for number in range(3, 6):
        streak_sweep.sweep_streaks(now=now + number * SECOND)

    assert waiting == ["satisfied"]
    states = StreakWindow.objects.order_by("starts_at").values_list("state", "count")
    assert list(states) == [("satisfied", 1), ("satisfied", 2)]


def test_the_sweep_closes_what_nobody_came_for(tenant_a: Tenant) -> None:
    make(tenant_a, window=HOURLY)
    now = timezone.now()
    send(tenant_a, now - 3 * HOUR)
    rule_log.process(now=now)

    looked = [streak_sweep.sweep_streaks(now=now + number * SECOND) for number in range(4)]

    states = StreakWindow.objects.order_by("starts_at").values_list("state", "lost")
    assert list(states) == [("satisfied", 0), ("missed", 1)]
    assert sum(looked) == 1
