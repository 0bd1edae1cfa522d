"""What happens in rewards, on the front page; the numbers are at most some seconds old."""

from datetime import datetime
from typing import Any

from django.urls import reverse

from phoenix_site.common.times import format_utc
from phoenix_site.tiles import seconds_text, tile
from rewards.selectors.activity import BOUND, RewardsActivity, rewards_activity

__all__ = ["reward_tiles"]


def reward_tiles(tenant_ids: frozenset[str] | None, now: datetime) -> dict[str, Any]:
    """Return the tiles of these tenants, ``None`` meaning all, and when they were counted."""
    found = rewards_activity(tenant_ids, now=now)
    return {
        "as_of": format_utc(found.as_of),
        "tiles": [
            _rules_tile(found),
            _firings_tile(found),
            _refusals_tile(found),
            _grants_tile(found),
            _proof_tile(found, now),
        ],
    }


def _rules_tile(found: RewardsActivity) -> dict[str, str]:
    rest = ((name, found.rules.get(name, 0)) for name in ("paused", "draft"))
    hint = ", ".join(f"{count:,} {name}" for name, count in rest if count)
    url = reverse("admin:rewards_rule_changelist")
    text = f"{found.rules.get('active', 0):,}"
    return tile("Active rules", text, hint=hint or "None paused, no draft", url=url)


def _firings_tile(found: RewardsActivity) -> dict[str, str]:
    hint = f"{_counted_to(found.firings_today)} today (UTC)"
    return tile("Firings", _counted_to(found.firings_in_minute), unit="last minute", hint=hint)


def _refusals_tile(found: RewardsActivity) -> dict[str, str]:
    total = sum(found.refusals.values())
    named = [f"{reason.replace('_', ' ')} {count:,}" for reason, count in found.refusals.items()]
    hint = ", ".join(named[:3]) or "Nobody was held back"
    return tile("Refusals today", _counted_to(total), hint=hint)


def _grants_tile(found: RewardsActivity) -> dict[str, str]:
    jobs = f"{found.open_jobs:,} open job{'' if found.open_jobs == 1 else 's'}"
    url = f"{reverse('admin:rewards_grant_changelist')}?status__exact=failed"
    tone = "bad" if found.failed_grants else "good"
    text = _counted_to(found.failed_grants)
    return tile("Failed grants", text, tone=tone, hint=f"{jobs} in the background", url=url)


def _proof_tile(found: RewardsActivity, now: datetime) -> dict[str, str]:
    url = reverse("admin:rewards_proof_changelist")
    if found.proved_at is None:
        return tile("Ledger proof", "-", tone="warn", hint="Not proven yet", url=url)
    if found.differences:
        text = f"{found.differences:,}"
        return tile("Ledger proof", text, tone="bad", hint="differences found", url=url)
    age = seconds_text((now - found.proved_at).total_seconds())
    return tile("Ledger proof", "Right", tone="good", hint=f"Proven {age} ago", url=url)


def _counted_to(count: int) -> str:
    return f"{count:,}{'+' if count >= BOUND else ''}"
