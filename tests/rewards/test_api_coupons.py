"""Coupons on both gateways, as game clients and back offices see them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from phoenix_site import asgi
from phoenix_site.common.json import encode
from rewards.models import Coupon, CouponRedemption, Grant, Job
from tenants.models import Tenant
from tests.doors import Door
from tests.leaderboards.admin_cast import BackOffice
from tests.rewards.coupon_cast import (
    limit,
    make_badge,
    make_codes,
    make_coupon,
    make_custom,
    make_item,
)
from tests.tenants import cast

pytestmark = pytest.mark.django_db

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def office(tenant_a: Tenant) -> BackOffice:
    return BackOffice(tenant_a)


@pytest.fixture
def player(tenant_a: Tenant) -> Callable[..., Any]:
    """Return a function that asks as a player, by default as Ana."""
    secret = cast.new_secret(tenant_a).value
    client = Client()

    def ask(method: str, path: str, body: Any = None, *, user_id: str = "ana", **more: str) -> Any:
        token = cast.tenant_token(tenant_a.pk, secret, sub=user_id)
        return client.generic(
            method,
            f"/v1/coupons/{path}",
            b"" if body is None else encode(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}", **more},
        )

    return ask


# --- Players -------------------------------------------------------------------------------------


def test_a_player_redeems_a_code_and_sees_it_everywhere(
    tenant_a: Tenant, player: Callable[..., Any]
) -> None:
    coupon = make_coupon(tenant_a, make_item(tenant_a), expires_at="2099-01-01T00:00:00Z")
    code = make_codes(coupon, "ana")[0]
    item = dict(code.reward_item)

    before = player("GET", "user/ana").json()
    done = player("POST", f"redeem/{code.code.lower()}", {"user_id": "ana"})
    after = player("GET", f"user/ana/{code.code_id}").json()

    assert done.status_code == 200
    body = done.json()
    order_id, redemption_id = body.pop("order_id"), body.pop("redemption_id")
    assert body == {
        "success": True,
        "coupon_id": str(code.code_id),
        "code": code.code,
        "reward_item": item,
        "redeemed_at": body["redeemed_at"],
    }
    assert before == {
        "coupons": [
            {
                "id": str(code.code_id),
                "definition_id": str(coupon.pk),
                "definition_name": "Welcome",
                "tenant_id": "tenant-a",
                "user_id": "ana",
                "code": code.code,
                "status": "active",
                "generated_at": "2026-03-05T12:00:00Z",
                "expires_at": "2099-01-01T00:00:00Z",
                "redeemed_at": None,
                "redemption_count": 0,
                "coupon_type": "reward",
                "reward_item": item,
            }
        ],
        "total": 1,
    }
    assert (after["status"], after["redemption_count"]) == ("redeemed", 1)
    assert after["redeemed_at"] == body["redeemed_at"]
    assert player("GET", "user/ana/redemptions").json() == {
        "redemptions": [
            {
                "redemption_id": redemption_id,
                "coupon_id": str(code.code_id),
                "code": code.code,
                "reward_item": item,
                "redeemed_at": body["redeemed_at"],
                "status": "redeemed",
            }
        ],
        "total": 1,
    }
    assert order_id


def test_a_repeated_key_gets_the_first_answer_and_gives_nothing_twice(
    tenant_a: Tenant, player: Callable[..., Any]
) -> None:
    make_custom(tenant_a)

    first, again = (
        player("POST", "redeem/SUMMER", {}, **{"Idempotency-Key": "k-1"}) for _ in range(2)
    )

    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert player("GET", "user/ana/redemptions").json()["total"] == 1


def test_acceptance_30_over_the_gateway(tenant_a: Tenant, player: Callable[..., Any]) -> None:
    bens = make_codes(make_coupon(tenant_a), "ben")[0].code
    make_custom(tenant_a, "Summer", name="Summer")
    make_custom(tenant_a, "ENDED", name="Ended", expires_at="2020-01-01T00:00:00Z")

    assert player("POST", "redeem/summer").status_code == 200
    assert player("POST", f"redeem/{bens}").status_code == 403
    assert player("POST", "redeem/NOSUCHCODE").status_code == 404
    ended = player("GET", "validate/ENDED")
    assert (ended.status_code, ended.json()) == (200, {"valid": False, "reason": "expired"})
    refused = player("POST", "redeem/ENDED")
    assert (refused.status_code, refused.json()["code"]) == (400, "COUPON_EXPIRED")


def test_a_code_that_works_is_shown_by_validate(
    tenant_a: Tenant, player: Callable[..., Any]
) -> None:
    code = make_codes(make_coupon(tenant_a, make_badge(tenant_a)))[0]

    body = player("GET", f"validate/{code.code}").json()

    assert (body["valid"], body["coupon"]["code"]) == (True, code.code)
    assert body["reward_item"]["reward_type"] == "badge"


def test_after_twenty_failures_a_player_gets_429(
    tenant_a: Tenant, player: Callable[..., Any]
) -> None:
    make_custom(tenant_a)
    for _ in range(20):
        assert player("GET", "validate/NOSUCHCODE").json()["reason"] == "not_found"

    refused = player("POST", "redeem/SUMMER")

    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_001")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    assert player("POST", "redeem/SUMMER", user_id="ben").status_code == 200


def test_players_see_active_coupons_without_shared_codes(
    tenant_a: Tenant, player: Callable[..., Any]
) -> None:
    make_custom(tenant_a, name="Shown")
    make_coupon(tenant_a, name="Hidden", status="inactive")

    body = player("GET", "definitions").json()

    assert (body["total"], body["definitions"][0]["name"]) == (1, "Shown")
    assert body["definitions"][0]["config"]["custom_code"] is None


def test_a_shared_code_appears_once_it_is_redeemed(
    tenant_a: Tenant, player: Callable[..., Any]
) -> None:
    make_custom(tenant_a, usage_limit=limit("per_user", 2))
    assert player("GET", "user/ana").json() == {"coupons": [], "total": 0}

    states = []
    for _ in range(2):
        player("POST", "redeem/SUMMER")
        (shown,) = player("GET", "user/ana").json()["coupons"]
        states.append((shown["status"], shown["redemption_count"], shown["user_id"]))

    assert states == [("active", 1, None), ("redeemed", 2, None)]
    assert player("GET", "user/ben", user_id="ben").json()["total"] == 0


def test_lists_have_pages_newest_first(tenant_a: Tenant, player: Callable[..., Any]) -> None:
    coupon = make_coupon(tenant_a)
    ids = sorted(str(make_codes(coupon, "ana")[0].code_id) for _ in range(3))[::-1]
    for code in player("GET", "user/ana").json()["coupons"]:
        player("POST", f"redeem/{code['code']}")

    page = player("GET", "user/ana?limit=1&offset=1").json()
    redeemed = player("GET", "user/ana/redemptions?limit=2").json()

    assert ([each["id"] for each in page["coupons"]], page["total"]) == ([ids[1]], 3)
    assert (len(redeemed["redemptions"]), redeemed["total"]) == (2, 3)
    assert player("GET", "user/ana?limit=201").status_code == 400


@pytest.mark.parametrize("path", ["user/ben", "user/ben/redemptions", "user/ben/{id}"])
def test_acceptance_38_another_players_coupons_are_403(
    tenant_a: Tenant, player: Callable[..., Any], path: str
) -> None:
    code = make_codes(make_coupon(tenant_a), "ben")[0]

    refused = player("GET", path.format(id=code.code_id))

    assert (refused.status_code, refused.json()["code"]) == (403, "AUTH_005")
    assert player("GET", f"user/ana/{code.code_id}").status_code == 404
    assert player("POST", f"redeem/{code.code}", {"user_id": "ben"}).status_code == 403
    assert player("POST", "redeem/SUMMER", []).status_code == 400


# --- Back offices --------------------------------------------------------------------------------


def new(item_id: Any, **config: Any) -> dict[str, Any]:
    return {"name": "Welcome", "config": {"reward_item_id": str(item_id), **config}}


def test_a_coupon_is_made_changed_copied_and_archived(tenant_a: Tenant, office: BackOffice) -> None:
    item = make_badge(tenant_a)
    place = "/v1/tenants/tenant-a/coupons"

    made = office.ask("POST", place, new(item.pk, code_prefix="WELCOME"))
    one = f"{place}/{made.json()['id']}"
    changed = office.ask("PATCH", one, {"config": {"code_length": 10}, "version": 1})
    copy = office.ask("POST", f"{one}/duplicate", {"name": "Copy"})
    stale = office.ask("PUT", one, {**new(item.pk), "version": 1})
    assert office.ask("DELETE", one).status_code == 204

    assert (made.status_code, made.json()["version"]) == (201, 1)
    assert made.json()["config"] == {
        "reward_item_id": str(item.pk),
        "code_format": "random",
        "code_prefix": "WELCOME",
        "code_length": 8,
        "custom_code": None,
        "case_sensitive": False,
        "starts_at": None,
        "expires_at": None,
        "usage_limit": {"limit_type": "per_user", "max_uses": 1},
    }
    assert (changed.json()["config"]["code_length"], changed.json()["version"]) == (10, 2)
    assert (copy.status_code, copy.json()["name"]) == (201, "Copy")
    assert (stale.status_code, stale.json()["code"]) == (409, "VERSION_CONFLICT")
    assert office.get(one).json()["status"] == "archived"
    listed = office.get(f"{place}?status=archived").json()
    assert (listed["total"], listed["coupons"][0]["id"]) == (1, made.json()["id"])
    assert office.get("/v1/coupons?tenant_id=tenant-a&q=cop").json()["total"] == 1
    assert [each["version"] for each in office.get(f"{one}/versions").json()["versions"]] == [
        3,
        2,
        1,
    ]


def test_every_fault_of_a_definition_is_named(office: BackOffice) -> None:
    body = {"name": "", "config": {"code_length": 1, "usage_limit": []}}

    refused = office.ask("POST", "/v1/tenants/tenant-a/coupons", body)

    assert refused.status_code == 400
    paths = {detail["field"] for detail in refused.json()["details"]}
    assert paths == {
        "name",
        "config.reward_item_id",
        "config.code_length",
        "config.usage_limit",
    }


def test_codes_are_made_at_once_or_by_a_job(tenant_a: Tenant, office: BackOffice) -> None:
    coupon = make_coupon(tenant_a)
    place = f"/v1/tenants/tenant-a/coupons/{coupon.pk}/generate"

    made = office.ask("POST", place, {"user_ids": ["ana", "ben"], "count_per_user": 2})
    queued = office.ask("POST", place, {"count": 1001})

    assert (made.status_code, made.json()["total"]) == (201, 4)
    assert [each["user_id"] for each in made.json()["coupons"]] == ["ana", "ana", "ben", "ben"]
    assert (queued.status_code, queued.json()["status"]) == (202, "queued")
    assert queued.json()["job_id"] == str(Job.objects.get().pk)
    assert office.get(queued.headers["Location"]).json()["kind"] == "coupon_codes"


def imported(office: BackOffice, coupon: Coupon, body: Any, content_type: str) -> Any:
    return Client().generic(
        "POST",
        f"/v1/tenants/tenant-a/coupons/{coupon.pk}/import",
        body,
        content_type=content_type,
        headers={"X-API-Key": office.key},
    )


def exported(office: BackOffice, coupon: Coupon) -> list[str]:
    answer = office.get(f"/v1/tenants/tenant-a/coupons/{coupon.pk}/export")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="coupon-{coupon.pk}.csv"'
    lines = b"".join(answer.streaming_content).decode().split("\r\n")
    return [",".join(line.split(",")[:3]) for line in lines[1:-1]]


def test_acceptance_31_as_json(tenant_a: Tenant, office: BackOffice) -> None:
    coupon = make_coupon(tenant_a)
    rows = [{"code": "spring-1", "user_id": "ana"}, {"code": "Spring-1"}, {"code": "?"}]

    body = imported(office, coupon, encode({"rows": rows}), "application/json").json()

    assert [each["status"] for each in body["results"]] == ["imported", "duplicate", "rejected"]
    assert (body["imported"], body["duplicate"], body["rejected"]) == (1, 1, 1)
    assert exported(office, coupon) == ["SPRING-1,ana,active"]


def test_acceptance_31_as_csv(tenant_a: Tenant, office: BackOffice) -> None:
    coupon = make_coupon(tenant_a)

    answer = imported(office, coupon, "code,user_id\nspring-1,ana\nSPRING-1,\n?,\n", "text/csv")

    assert answer.status_code == 200
    statuses = [each["status"] for each in answer.json()["results"]]
    assert statuses == ["imported", "duplicate", "rejected"]
    assert exported(office, coupon) == ["SPRING-1,ana,active"]


def test_what_is_no_import_is_refused(tenant_a: Tenant, office: BackOffice) -> None:
    coupon = make_coupon(tenant_a)
    sent: list[tuple[Any, str, int]] = [
        (encode({}), "application/json", 400),
        (encode([]), "application/json", 400),
        (encode({"rows": [], "tenant_id": "tenant-b"}), "application/json", 400),
        (b"\xff\xfe", "text/csv", 400),
        (b"x" * (1024 * 1024 + 1), "text/csv", 413),
        (b"code", "text/plain", 415),
    ]

    found = [imported(office, coupon, body, kind).status_code for body, kind, _ in sent]

    assert found == [status for _, _, status in sent]


def test_many_rows_are_a_job(tenant_a: Tenant, office: BackOffice) -> None:
    coupon = make_coupon(tenant_a)
    lines = "\n".join(f"CODE-{number}," for number in range(1001))

    queued = imported(office, coupon, f"code,user_id\n{lines}\n", "text/csv")

    assert (queued.status_code, queued.json()["status"]) == (202, "queued")


def test_an_export_streams_through_the_asynchronous_server(
    transactional_db: None, tenant_a: Tenant, office: BackOffice
) -> None:
    coupon = make_coupon(tenant_a)
    codes = {code.code for code in make_codes(coupon, count=3)}

    with Door(asgi.application) as door:
        answer = door.get(
            f"/v1/tenants/tenant-a/coupons/{coupon.pk}/export", headers={"X-API-Key": office.key}
        )

    assert answer.status_code == 200
    assert {line.split(",")[0] for line in answer.text.splitlines()[1:]} == codes


def test_staff_void_codes_and_reverse_redemptions(
    tenant_a: Tenant, office: BackOffice, player: Callable[..., Any]
) -> None:
    coupon = make_coupon(tenant_a)
    spare, used = make_codes(coupon, count=2)
    done = player("POST", f"redeem/{used.code}").json()
    why = {"reason": "by mistake"}

    void = office.ask("POST", f"/v1/tenants/tenant-a/coupons/codes/{spare.code}/void", why)
    redeemed = office.ask("POST", f"/v1/tenants/tenant-a/coupons/codes/{used.code}/void", why)
    listed = office.get(f"/v1/tenants/tenant-a/coupons/{coupon.pk}/redemptions").json()
    place = f"/v1/tenants/tenant-a/coupons/redemptions/{done['redemption_id']}/reverse"
    silent = office.ask("POST", place, {})
    reversed_, again = (office.ask("POST", place, why) for _ in range(2))

    assert (void.status_code, void.json()["status"]) == (200, "revoked")
    assert (redeemed.status_code, redeemed.json()["code"]) == (409, "STATE_CONFLICT")
    assert (listed["total"], listed["redemptions"][0]["user_id"]) == (1, "ana")
    assert silent.status_code == 400
    assert (reversed_.status_code, reversed_.json()["status"]) == (200, "reversed")
    assert (again.status_code, again.json()["code"]) == (409, "STATE_CONFLICT")
    assert player("POST", f"redeem/{spare.code}").json()["code"] == "COUPON_VOID"
    assert player("POST", f"redeem/{used.code}").status_code == 200


@pytest.mark.parametrize(
    ("method", "ending"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/generate"),
        ("POST", "/import"),
        ("GET", "/export"),
        ("GET", "/redemptions"),
        ("GET", "/versions"),
    ],
)
def test_another_tenants_coupon_is_404_by_id_and_403_by_path(
    tenant_a: Tenant, tenant_b: Tenant, office: BackOffice, method: str, ending: str
) -> None:
    theirs = make_coupon(tenant_b)
    body = {"count": 1, "rows": [{"code": "ABC"}]} if ending == "/import" else {"count": 1}
    sent = body if method == "POST" else None

    by_id = office.ask(method, f"/v1/tenants/tenant-a/coupons/{theirs.pk}{ending}", sent)
    by_path = office.ask(method, f"/v1/tenants/tenant-b/coupons/{theirs.pk}{ending}", sent)

    assert (by_id.status_code, by_path.status_code) == (404, 403)
    assert theirs.codes.count() == 0


def test_a_key_that_may_only_read_makes_no_codes(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a)
    reader = BackOffice(tenant_a, scopes=("rewards:read",))
    place = f"/v1/tenants/tenant-a/coupons/{coupon.pk}"

    assert reader.get(place).status_code == 200
    assert reader.ask("POST", f"{place}/generate", {"count": 1}).status_code == 403


def test_times_are_now(tenant_a: Tenant, player: Callable[..., Any]) -> None:
    make_custom(tenant_a, starts_at=timezone.now().isoformat(), expires_at=None)

    assert player("POST", "redeem/SUMMER").status_code == 200


# --- The fast entrance ---------------------------------------------------------------------------


@pytest.fixture(params=["both entrances", "the whole one only"])
def door(transactional_db: None, request: Any, settings: Settings) -> Iterator[Door]:
    settings.PHOENIX_FAST_DOOR = request.param == "both entrances"
    with Door(asgi.build_application()) as opened:
        yield opened


def test_both_entrances_answer_alike(tenant_a: Tenant, door: Door) -> None:
    make_custom(tenant_a, usage_limit=limit("per_user", 1))
    make_custom(tenant_a, "ENDED", expires_at="2020-01-01T00:00:00Z")
    secret = cast.new_secret(tenant_a).value
    ana, ben = (cast.tenant_token(tenant_a.pk, secret, sub=name) for name in ("ana", "ben"))
    place = "/v1/coupons/redeem/"

    done = door.ask("POST", f"{place}summer", token=ana, json={"user_id": "ana"})
    refused = [
        door.ask("POST", f"{place}summer", token=ana),
        door.ask("POST", f"{place}ENDED", token=ana),
        door.ask("POST", f"{place}NOSUCHCODE", token=ana),
        door.ask("POST", f"{place}summer", token=ben, json={"user_id": "ana"}),
        door.ask("POST", f"{place}summer", token=ben, json=[]),
        door.ask("POST", f"{place}summer", token=ben, content=b"{", headers=JSON),
        door.ask("POST", f"{place}summer", token=ben, content=b"a=1", headers=FORM),
        door.ask("POST", f"{place}summer"),
        door.ask("GET", f"{place}summer", token=ben),
    ]
    free = door.ask("OPTIONS", f"{place}summer")

    assert done.status_code == 200
    assert done.headers["Content-Type"] == "application/json"
    assert {"X-RateLimit-Limit", "X-Request-Id", "Vary"} <= {
        name.title().replace("Ratelimit", "RateLimit") for name in done.headers
    }
    assert done.json()["success"] is True
    assert [(each.status_code, each.json()["code"]) for each in refused] == [
        (400, "COUPON_ALREADY_REDEEMED"),
        (400, "COUPON_EXPIRED"),
        (404, "NOT_FOUND"),
        (403, "AUTH_005"),
        (400, "VAL_001"),
        (400, "VAL_003"),
        (415, "MEDIA_TYPE"),
        (401, "AUTH_002"),
        (405, "METHOD"),
    ]
    assert {each.headers["Cache-Control"] for each in refused[:-1]} == {"no-store"}
    assert (free.status_code, free.headers["Access-Control-Allow-Methods"]) == (
        204,
        "POST, OPTIONS",
    )


def test_a_key_is_kept_at_both_entrances(tenant_a: Tenant, door: Door) -> None:
    make_custom(tenant_a)
    token = cast.tenant_token(tenant_a.pk, cast.new_secret(tenant_a).value)
    keyed = {"Idempotency-Key": "k-1"}

    first, again = (
        door.ask("POST", "/v1/coupons/redeem/SUMMER", token=token, headers=keyed) for _ in range(2)
    )

    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert CouponRedemption.objects.count() == 1


def test_acceptance_29_over_http_a_hundred_players_at_a_code_for_ten(
    transactional_db: None, tenant_a: Tenant
) -> None:
    make_custom(tenant_a, usage_limit=limit("total", 10))
    secret = cast.new_secret(tenant_a).value
    tokens = [cast.tenant_token(tenant_a.pk, secret, sub=f"player-{n}") for n in range(100)]
    asks = [
        {
            "method": "POST",
            "url": "/v1/coupons/redeem/SUMMER",
            "headers": {"Authorization": f"Bearer {token}"},
        }
        for token in tokens
    ]

    with Door(asgi.build_application()) as door:
        answers = door.ask_at_once(asks)

    found = [(answer.status_code, answer.json().get("code")) for answer in answers]
    assert found.count((200, "SUMMER")) == 10
    assert found.count((400, "COUPON_LIMIT_REACHED")) == 90
    assert CouponRedemption.objects.count() == Grant.objects.count() == 10
