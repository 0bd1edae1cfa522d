"""What stands in the admin's sidebar and header, for the person who is signed in."""

from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

INDEX: Final = "admin:index"


@dataclass(frozen=True, slots=True)
class Page:
    """A place to go; ``permission`` is what a person needs to see it, empty for everybody."""

    title: str
    icon: str
    url_name: str
    permission: str = ""


GROUPS: Final[tuple[tuple[str, tuple[Page, ...]], ...]] = (
    ("", (Page("Overview", "monitoring", INDEX),)),
    (
        "Leaderboards",
        (
            Page(
                "Boards",
                "leaderboard",
                "admin:leaderboards_leaderboard_changelist",
                "leaderboards.view_leaderboard",
            ),
            Page(
                "Windows",
                "date_range",
                "admin:leaderboards_window_changelist",
                "leaderboards.view_window",
            ),
            Page(
                "Snapshots",
                "photo_camera",
                "admin:leaderboards_snapshot_changelist",
                "leaderboards.view_snapshot",
            ),
            Page(
                "Late events",
                "schedule",
                "admin:leaderboards_lateevent_changelist",
                "leaderboards.view_lateevent",
            ),
        ),
    ),
    (
        "Players",
        (Page("Players", "person", "admin:players_player_changelist", "players.view_player"),),
    ),
    (
        "Rewards",
        (
            Page(
                "Rules",
                "rule",
                "admin:rewards_rule_changelist",
                "rewards.view_rule",
            ),
            Page(
                "Why?",
                "help",
                "admin:rewards_rule_why",
                "rewards.view_rule",
            ),
            Page(
                "Players' rewards",
                "account_box",
                "admin:rewards_participant_changelist",
                "rewards.view_participant",
            ),
            Page("Grants", "redeem", "admin:rewards_grant_changelist", "rewards.view_grant"),
            Page(
                "Reward items",
                "featured_seasonal_and_gifts",
                "admin:rewards_rewarditem_changelist",
                "rewards.view_rewarditem",
            ),
            Page(
                "Reward configs",
                "leaderboard",
                "admin:rewards_rewardconfig_changelist",
                "rewards.view_rewardconfig",
            ),
            Page("Jobs", "pending_actions", "admin:rewards_job_changelist", "rewards.view_job"),
        ),
    ),
    (
        "Goals and levels",
        (
            Page(
                "Achievements",
                "trophy",
                "admin:rewards_achievement_changelist",
                "rewards.view_achievement",
            ),
            Page(
                "Achievements of players",
                "military_tech",
                "admin:rewards_achievementprogress_changelist",
                "rewards.view_achievementprogress",
            ),
            Page(
                "Streaks",
                "local_fire_department",
                "admin:rewards_streak_changelist",
                "rewards.view_streak",
            ),
            Page(
                "Streaks of players",
                "event_repeat",
                "admin:rewards_playerstreak_changelist",
                "rewards.view_playerstreak",
            ),
            Page(
                "Levels",
                "stairs",
                "admin:rewards_ladder_changelist",
                "rewards.view_ladder",
            ),
        ),
    ),
    (
        "Coupons",
        (
            Page("Coupons", "sell", "admin:rewards_coupon_changelist", "rewards.view_coupon"),
            Page(
                "Coupon codes",
                "confirmation_number",
                "admin:rewards_couponcode_changelist",
                "rewards.view_couponcode",
            ),
            Page(
                "Redemptions",
                "redeem",
                "admin:rewards_couponredemption_changelist",
                "rewards.view_couponredemption",
            ),
        ),
    ),
    (
        "Ledger",
        (
            Page(
                "Currencies",
                "currency_exchange",
                "admin:rewards_currency_changelist",
                "rewards.view_currency",
            ),
            Page(
                "Accounts",
                "account_balance_wallet",
                "admin:rewards_account_changelist",
                "rewards.view_account",
            ),
            Page(
                "Transactions",
                "receipt_long",
                "admin:rewards_ledgertransaction_changelist",
                "rewards.view_ledgertransaction",
            ),
            Page(
                "Holds",
                "lock_clock",
                "admin:rewards_hold_changelist",
                "rewards.view_hold",
            ),
            Page(
                "Ledger proofs",
                "verified",
                "admin:rewards_proof_changelist",
                "rewards.view_proof",
            ),
        ),
    ),
    (
        "Events",
        (
            Page(
                "Event log", "list_alt", "admin:ingestion_event_changelist", "ingestion.view_event"
            ),
            Page(
                "Quarantine",
                "report",
                "admin:ingestion_quarantineentry_changelist",
                "ingestion.view_quarantineentry",
            ),
            Page("Consumers", "sync", "admin:ingestion_cursor_changelist", "ingestion.view_cursor"),
        ),
    ),
    (
        "Tenants and access",
        (
            Page("Tenants", "domain", "admin:tenants_tenant_changelist", "tenants.view_tenant"),
            Page(
                "Credentials",
                "key",
                "admin:tenants_credential_changelist",
                "tenants.view_credential",
            ),
            Page(
                "Deliveries",
                "outbox",
                "admin:tenants_delivery_changelist",
                "tenants.view_delivery",
            ),
            Page(
                "Memberships",
                "badge",
                "admin:tenants_membership_changelist",
                "tenants.view_membership",
            ),
            Page("Staff", "group", "admin:auth_user_changelist", "auth.view_user"),
            Page("Roles", "shield_person", "admin:auth_group_changelist", "auth.view_group"),
            Page(
                "Second factors",
                "phonelink_lock",
                "admin:otp_totp_totpdevice_changelist",
                "otp_totp.view_totpdevice",
            ),
        ),
    ),
    (
        "Audit",
        (
            Page(
                "Audit log",
                "policy",
                "admin:tenants_auditentry_changelist",
                "tenants.view_auditentry",
            ),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Tabs:
    """The same list by one of its values; the first tab shows all of it."""

    model: str
    url_name: str
    parameter: str
    values: tuple[tuple[str, str], ...]


TABS: Final = (
    Tabs(
        "leaderboards.leaderboard",
        "admin:leaderboards_leaderboard_changelist",
        "status__exact",
        (("Active", "active"), ("Inactive", "inactive"), ("Archived", "archived")),
    ),
    Tabs(
        "leaderboards.window",
        "admin:leaderboards_window_changelist",
        "state__exact",
        (("Open", "open"), ("Closing", "closing"), ("Closed", "closed"), ("Void", "void")),
    ),
    Tabs(
        "rewards.hold",
        "admin:rewards_hold_changelist",
        "status__exact",
        (("Open", "open"), ("Closed", "closed")),
    ),
    Tabs(
        "rewards.coupon",
        "admin:rewards_coupon_changelist",
        "status__exact",
        (("Active", "active"), ("Inactive", "inactive"), ("Archived", "archived")),
    ),
    Tabs(
        "ingestion.quarantineentry",
        "admin:ingestion_quarantineentry_changelist",
        "state__exact",
        (("Open", "open"), ("Replayed", "replayed"), ("Discarded", "discarded")),
    ),
    Tabs(
        "tenants.delivery",
        "admin:tenants_delivery_changelist",
        "state__exact",
        (("Pending", "pending"), ("Delivered", "delivered"), ("Failed", "failed")),
    ),
)


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the tabs above lists, keeping what else is asked of them (named in ``UNFOLD``)."""
    return [{"models": [each.model], "items": _tab_items(each, request)} for each in TABS]


def _tab_items(each: Tabs, request: HttpRequest) -> list[dict[str, Any]]:
    here = reverse(each.url_name)
    chosen = request.GET.get(each.parameter, "") if request.path == here else ""
    return [
        {
            "title": title,
            "link": _tab_link(each, request, value, here),
            "active": lambda _request, value=value: request.path == here and value == chosen,
        }
        for title, value in (("All", ""), *each.values)
    ]


def _tab_link(each: Tabs, request: HttpRequest, value: str, here: str) -> str:
    asked = request.GET.copy()
    for name in (each.parameter, "p", "e"):
        asked.pop(name, None)
    if value:
        asked[each.parameter] = value
    # What is asked of another page is none of this list's business.
    query = asked.urlencode() if request.path == here else ""
    return f"{here}?{query or (f'{each.parameter}={value}' if value else '')}".rstrip("?")


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups with what the person may see (named in the setting ``UNFOLD``)."""
    groups = []
    open_link = _open_link(request)
    for title, pages in GROUPS:
        items = [item for page in pages if (item := _item(page, request, open_link)) is not None]
        if items:
            groups.append({"title": title or None, "items": items})
    return groups


def environment(_request: HttpRequest) -> list[str]:
    """Return the label in the header: nobody should take production for the sandbox."""
    if settings.PHOENIX_ENV == "prod":
        return ["Production", "danger"]
    return ["Sandbox", "info"]


def _link(page: Page) -> str | None:
    try:
        return reverse(page.url_name)
    except NoReverseMatch:
        # A page of an app that this installation does not run.
        return None


def _open_link(request: HttpRequest) -> str:
    """Return the link under which the open page stands; of several the most exact."""
    links = [_link(page) for _, pages in GROUPS for page in pages if page.url_name != INDEX]
    fitting = [link for link in links if link is not None and request.path.startswith(link)]
    return max(fitting, key=len, default=reverse(INDEX))


def _item(page: Page, request: HttpRequest, open_link: str) -> dict[str, Any] | None:
    user: Any = request.user
    if page.permission and not user.has_perm(page.permission):
        return None
    link = _link(page)
    if link is None:
        return None
    is_active = request.path == link if page.url_name == INDEX else link == open_link
    return {
        "title": page.title,
        "icon": page.icon,
        "link": link,
        "active": lambda _request: is_active,
    }
