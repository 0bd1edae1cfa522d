"""Finding what a lost nudge left behind."""

from collections import defaultdict

from ingestion import selectors
from phoenix_site.common.nudges import send_nudges


def nudge_lagging_consumers() -> int:
    """Wake every consumer that has events waiting, and return how many shards that were.

    Repeats: harmless; a consumer that has a nudge waiting gets no second. Queries: 1.
    """
    waiting: dict[str, list[int]] = defaultdict(list)
    for lag in selectors.consumer_lag(bound=1):
        if lag.events:
            waiting[lag.consumer].append(lag.shard)
    for consumer, shards in waiting.items():
        send_nudges(shards, consumers=[consumer])
    return sum(len(shards) for shards in waiting.values())
