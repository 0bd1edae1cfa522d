"""One worker of the rules' consumer in a process of its own: drains every shard, prints figures."""

import json
import os
import sys
import time

import django


def main() -> int:
    """Apply the rules to all that waits and print how many events it was and how long it took."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phoenix_site.settings")
    django.setup()
    from django.utils import timezone

    from ingestion.constants import N_SHARDS
    from rewards.services import consumer

    events, seconds = 0, 0.0
    for shard in range(N_SHARDS):
        # The first batch of a process reads what later ones have at hand.
        while True:
            began = time.perf_counter()
            count = consumer.apply_rules(shard, now=timezone.now())
            if not count:
                break
            events, seconds = events + count, seconds + time.perf_counter() - began
    print(json.dumps({"events": events, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
