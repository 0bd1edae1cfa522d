"""Settles credits in sets as the consumer does, in a process of its own; prints figures."""

import json
import os
import sys
import time
from decimal import Decimal

import django

SET = 2000


def main() -> int:
    """Post as many rows as asked for to the tenant's wallets and print how long it took."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phoenix_site.settings")
    django.setup()
    from django.db import transaction
    from django.utils import timezone

    from players.services.registration import ensure_players
    from rewards.selectors.book import book_of
    from rewards.services.pipe import settling
    from rewards.types.causes import Cause

    wanted, tenant_id = int(sys.argv[1]), sys.argv[2]
    currency = book_of(tenant_id).currencies["gold"]
    names = [(tenant_id, f"user-{number}") for number in range(SET)]
    players = list(ensure_players(names, now=timezone.now()).values())
    run, rows, seconds = time.time_ns(), 0, 0.0
    while rows < wanted:
        began = time.perf_counter()
        with transaction.atomic(), settling(players, now=timezone.now()) as settlement:
            for player_id in players:
                key = f"bench:{run}:{rows}:{player_id}"
                cause = Cause(
                    tenant_id=tenant_id,
                    source_type="rule",
                    source_id="bench",
                    kind="firing",
                    id=key,
                )
                settlement.credit(player_id, currency, Decimal(1), cause=cause, key=key)
        seconds += time.perf_counter() - began
        rows += 2 * len(players)
    print(json.dumps({"postings": rows, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
