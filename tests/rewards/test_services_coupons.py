"""Definitions of coupons; codes made, imported, exported, declared void and given."""

import signal
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from phoenix_site.common.exceptions import NotFoundError, UnavailableError
from players.services.registration import ensure_players
from rewards.exceptions import (
    AlreadyExistsError,
    CouponInactiveError,
    DocumentError,
    InUseError,
    StateConflictError,
    VersionConflictError,
)
from rewards.models import Coupon, CouponCode, DocumentVersion, Job
from rewards.rules import coupons as rules
from rewards.selectors import coupons as selectors
from rewards.selectors.book import book_of
from rewards.selectors.coupon_exports import export_parts
from rewards.services import coupon_codes, coupon_imports, coupons, jobs
from rewards.services.coupon_desk import CouponDesk
from rewards.services.pipe import settling
from rewards.types.causes import Cause
from rewards.types.coupons import AssignedCode
from tenants.models import AuditEntry, Tenant
from tenants.services.audit import SYSTEM
from tests.rewards import job_kinds
from tests.rewards.coupon_cast import (
    NOON,
    at_once,
    code_row,
    make_badge,
    make_codes,
    make_coupon,
    make_custom,
    outcome,
    redeem,
)

pytestmark = pytest.mark.django_db


def change(coupon: Coupon, document: dict[str, Any]) -> Coupon:
    return coupons.patch_coupon(coupon.tenant_id, coupon.pk, document, actor=SYSTEM, now=NOON)


def codes_of(coupon: Coupon) -> set[str]:
    return set(coupon.codes.values_list("code", flat=True))


# --- Definitions ---------------------------------------------------------------------------------


def test_a_new_coupon_has_a_version_an_audit_entry_and_a_place_in_the_book(
    tenant_a: Tenant,
) -> None:
    coupon = make_coupon(tenant_a, code_prefix="WELCOME")

    kept = DocumentVersion.objects.get(kind="coupon", object_id=coupon.pk)
    assert (kept.version, kept.document["config"]["code_prefix"]) == (1, "WELCOME")
    assert AuditEntry.objects.filter(action="coupon.created", object_id=coupon.pk).exists()
    assert selectors.of(book_of(tenant_a.pk))[coupon.pk].code_prefix == "WELCOME"


def test_an_item_of_another_tenant_or_an_archived_one_is_refused(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    for item in (make_badge(tenant_b), make_badge(tenant_a, is_active=False)):
        with pytest.raises(DocumentError, match="not an active reward item"):
            make_coupon(tenant_a, item)


def test_a_custom_code_is_there_at_once_and_only_once_in_the_tenant(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    make_custom(tenant_a, "Summer")
    make_custom(tenant_b, "Summer")

    assert CouponCode.objects.filter(code="SUMMER", is_shared=True).count() == 2
    with pytest.raises(AlreadyExistsError), transaction.atomic():
        make_custom(tenant_a, "summer")


def test_a_patch_merges_and_checks_the_version(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a)

    changed = change(coupon, {"config": {"code_prefix": "VIP"}, "version": 1})

    assert (changed.code_prefix, changed.version, changed.name) == ("VIP", 2, "Welcome")
    with pytest.raises(VersionConflictError):
        change(coupon, {"name": "Late", "version": 1})


def test_replacing_puts_defaults_in_the_place_of_what_is_left_out(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a, code_prefix="VIP", code_length=12)
    document = {"name": "New", "config": {"reward_item_id": str(coupon.item_id)}}

    changed = coupons.replace_coupon(tenant_a.pk, coupon.pk, document, actor=SYSTEM, now=NOON)

    assert (changed.code_prefix, changed.code_length, changed.per_user_limit) == ("", 8, 1)


def test_the_form_of_codes_stays_once_there_are_any(tenant_a: Tenant) -> None:
    random, custom = make_coupon(tenant_a), make_custom(tenant_a)
    assert change(custom, {"config": {"custom_code": "WINTER"}}).custom_code == "WINTER"
    assert codes_of(custom) == {"WINTER"}
    make_codes(random)
    redeem(tenant_a, "WINTER")

    for coupon, config in (
        (random, {"case_sensitive": True}),
        (random, {"code_format": "custom", "custom_code": "MINE"}),
        (custom, {"custom_code": "SPRING"}),
        (custom, {"code_format": "random", "custom_code": None}),
    ):
        with pytest.raises(InUseError):
            change(coupon, {"config": config})
    assert change(random, {"config": {"code_length": 20}}).code_length == 20


def test_a_coupon_without_codes_in_use_may_turn_from_custom_to_random(tenant_a: Tenant) -> None:
    coupon = make_custom(tenant_a)

    changed = change(coupon, {"config": {"code_format": "random", "custom_code": None}})

    assert codes_of(changed) == set()
    assert len(make_codes(changed)) == 1


def test_an_archived_coupon_is_final_and_its_codes_are_not_redeemed(tenant_a: Tenant) -> None:
    coupon = make_custom(tenant_a)
    for _ in range(2):
        coupons.archive_coupon(tenant_a.pk, coupon.pk, actor=SYSTEM, now=NOON)

    assert Coupon.objects.get().version == 2
    assert outcome(tenant_a, "SUMMER") == "COUPON_INACTIVE"
    with pytest.raises(StateConflictError):
        change(coupon, {"status": "active"})


def test_a_copy_has_no_codes_and_needs_a_custom_code_of_its_own(tenant_a: Tenant) -> None:
    coupon, custom = make_coupon(tenant_a, code_prefix="VIP"), make_custom(tenant_a)
    make_codes(coupon)

    copy = coupons.duplicate_coupon(tenant_a.pk, coupon.pk, {}, actor=SYSTEM, now=NOON)

    assert (copy.name, copy.code_prefix, codes_of(copy)) == ("Welcome (copy)", "VIP", set())
    with pytest.raises(AlreadyExistsError), transaction.atomic():
        coupons.duplicate_coupon(tenant_a.pk, custom.pk, {}, actor=SYSTEM, now=NOON)
    own = {"config": {"custom_code": "WINTER"}}
    other = coupons.duplicate_coupon(tenant_a.pk, custom.pk, own, actor=SYSTEM, now=NOON)
    assert codes_of(other) == {"WINTER"}


def test_another_tenants_coupon_is_not_found(tenant_a: Tenant, tenant_b: Tenant) -> None:
    theirs = make_coupon(tenant_b)

    for call in (coupons.replace_coupon, coupons.patch_coupon, coupons.duplicate_coupon):
        with pytest.raises(NotFoundError):
            call(tenant_a.pk, theirs.pk, {}, actor=SYSTEM, now=NOON)
    with pytest.raises(NotFoundError):
        generate(tenant_a, theirs.pk, count=1)


# --- Generation ----------------------------------------------------------------------------------


def generate(tenant: Tenant, coupon_id: UUID, **document: Any) -> Any:
    return coupon_codes.generate(tenant.pk, coupon_id, document, actor=SYSTEM, now=NOON)


def test_codes_for_players_come_in_the_order_of_the_players(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a, code_prefix="VIP", code_length=6)

    made = generate(tenant_a, coupon.pk, user_ids=["ben", "ana"], count_per_user=2)

    assert [code.user_id for code in made] == ["ben", "ben", "ana", "ana"]
    assert all(code.code.startswith("VIP") and len(code.code) == 9 for code in made)
    assert len({code.code for code in made}) == 4
    assert {code.status for code in made} == {"active"}


def test_a_code_that_is_taken_is_made_anew(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = make_coupon(tenant_a)
    drawn = iter(["TAKEN1", "TAKEN1", "FREE-1", "TAKEN1", "FREE-2"])
    monkeypatch.setattr(rules, "random_code", lambda prefix, noise: next(drawn))

    first = make_codes(coupon)
    rest = make_codes(coupon, count=2)

    assert [code.code for code in [*first, *rest]] == ["TAKEN1", "FREE-2", "FREE-1"]


def test_a_form_that_has_no_codes_left_says_so(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = make_coupon(tenant_a)
    monkeypatch.setattr(rules, "random_code", lambda prefix, noise: "ALWAYS")
    make_codes(coupon)

    with pytest.raises(StateConflictError, match="hardly any"):
        make_codes(coupon)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"count": 1, "user_ids": ["ana"]},
        {"count": 0},
        {"count": 100_001},
        {"count": True},
        {"user_ids": []},
        {"user_ids": [7]},
        {"user_ids": ["ana"], "count_per_user": 0},
        {"user_ids": ["ana", "ben"], "count_per_user": 60_000},
        {"count": 1, "amount": 5},
    ],
)
def test_what_is_asked_for_is_checked(tenant_a: Tenant, document: dict[str, Any]) -> None:
    coupon = make_coupon(tenant_a)

    with pytest.raises(DocumentError):
        generate(tenant_a, coupon.pk, **document)


def test_custom_and_archived_coupons_take_no_codes(tenant_a: Tenant) -> None:
    custom, archived = make_custom(tenant_a), make_coupon(tenant_a, status="archived")

    for coupon in (custom, archived):
        with pytest.raises(StateConflictError):
            generate(tenant_a, coupon.pk, count=1)


def run_job(job: Job) -> Job:
    jobs.run_job(job.pk, clock=lambda: NOON)
    return Job.objects.get(pk=job.pk)


def test_more_than_a_thousand_codes_are_a_job(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a)

    job = generate(tenant_a, coupon.pk, user_ids=["ana", "ben"], count_per_user=600)
    assert (job.kind, job.status, codes_of(coupon)) == ("coupon_codes", "queued", set())
    done = run_job(job)

    assert (done.status, done.result["generated"]) == ("done", 1200)
    assert coupon.codes.filter(player__external_id="ben").count() == 600


def test_a_job_goes_on_where_it_was(tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coupon_codes, "COUPON_BATCH_SIZE", 500)
    coupon = make_coupon(tenant_a)
    job = generate(tenant_a, coupon.pk, count=1100)
    Job.objects.filter(pk=job.pk).update(checkpoint={"made": 1000})

    assert run_job(job).result["generated"] == 1100
    assert len(codes_of(coupon)) == 100


def test_a_coupon_archived_meanwhile_ends_its_job(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a)
    job = generate(tenant_a, coupon.pk, count=1100)
    coupons.archive_coupon(tenant_a.pk, coupon.pk, actor=SYSTEM, now=NOON)

    done = run_job(job)

    assert done.error is not None
    assert (done.status, done.error["code"]) == ("failed", "STATE_CONFLICT")


# --- Imports and exports -------------------------------------------------------------------------


def take_over(coupon: Coupon, rows: list[Any]) -> Any:
    return coupon_imports.import_rows(coupon.tenant_id, coupon.pk, rows, actor=SYSTEM, now=NOON)


def test_acceptance_31_an_import_has_verdicts_and_the_export_gives_back_the_imported(
    tenant_a: Tenant,
) -> None:
    coupon = make_coupon(tenant_a)

    found = take_over(coupon, [{"code": "spring-1", "user_id": "ana"}, {"code": "SPRING-1"}, {}])

    assert [verdict.status for verdict in found] == ["imported", "duplicate", "rejected"]
    assert found[2].error
    head, line = "".join(export_parts(tenant_a.pk, coupon.pk, now=NOON)).splitlines()
    assert head.split(",")[:3] == ["code", "user_id", "status"]
    assert line == "SPRING-1,ana,active,2026-03-05T12:00:00Z,,,,0"


def test_an_import_can_be_repeated_and_one_bad_player_stops_no_row(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a)
    names = ["ana", "a/b", "ben", " x", "cleo", "x" * 129]
    rows = [{"code": f"CODE-{n}", "user_id": name} for n, name in enumerate(names)]

    first = [verdict.status for verdict in take_over(coupon, rows)]
    again = [verdict.status for verdict in take_over(coupon, rows)]

    assert first == ["imported", "rejected", "imported", "rejected", "imported", "rejected"]
    assert again == ["duplicate", "rejected", "duplicate", "rejected", "duplicate", "rejected"]
    assert len(codes_of(coupon)) == 3


def test_another_coupons_code_is_a_duplicate_and_another_tenants_is_not(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    make_custom(tenant_a, "SPRING")
    make_custom(tenant_b, "AUTUMN")
    coupon = make_coupon(tenant_a)

    found = take_over(coupon, [{"code": "spring"}, {"code": "autumn"}])

    assert [verdict.status for verdict in found] == ["duplicate", "imported"]


def test_more_than_a_thousand_rows_are_a_job_that_tells_of_what_was_not_imported(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coupon_imports, "COUPON_BATCH_SIZE", 400)
    coupon = make_coupon(tenant_a)
    rows: list[Any] = [{"code": f"CODE-{number}"} for number in range(1000)]
    rows += [{"code": "CODE-7"}, {"code": "BAD\x00"}, None, {"code": 7}]

    done = run_job(take_over(coupon, rows))

    counts = {name: done.result[name] for name in ("imported", "duplicate", "rejected")}
    assert counts == {"imported": 1000, "duplicate": 1, "rejected": 3}
    assert [each["index"] for each in done.result["results"]] == [1000, 1001, 1002, 1003]
    assert len(codes_of(coupon)) == 1000


@pytest.mark.parametrize("sent", [[], {}, None, 7, 100_001 * [{}]])
def test_an_import_of_nothing_or_of_too_much_is_refused(sent: Any) -> None:
    with pytest.raises(DocumentError):
        coupon_imports.read_import(sent)


def test_the_export_shows_what_became_of_codes_in_parts(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewards.selectors.coupon_exports.COUPON_BATCH_SIZE", 2)
    coupon = make_coupon(tenant_a, expires_at="2026-03-06T00:00:00Z")
    codes = [code.code for code in make_codes(coupon, count=5)]
    redeem(tenant_a, codes[0], "=ana")
    coupon_codes.void_code(tenant_a.pk, codes[1], reason="leaked", actor=SYSTEM, now=NOON)

    later = NOON + timedelta(days=1)
    parts = list(export_parts(tenant_a.pk, coupon.pk, now=later))

    assert len(parts) == 4
    lines = {line.split(",")[0]: line.split(",") for line in "".join(parts).splitlines()}
    assert lines[codes[0]][2] == "redeemed"
    assert lines[codes[0]][5:] == ["2026-03-05T12:00:00Z", "'=ana", "1"]
    assert [lines[code][2] for code in codes[1:]] == ["revoked", "expired", "expired", "expired"]


# --- Void ----------------------------------------------------------------------------------------


def test_a_void_code_is_void_for_good(tenant_a: Tenant) -> None:
    code = make_codes(make_coupon(tenant_a))[0]

    void = coupon_codes.void_code(
        tenant_a.pk, code.code.lower(), reason="leaked", actor=SYSTEM, now=NOON
    )

    assert void.status == "revoked"
    assert (code_row(code).note, code_row(code).revoked_at) == ("Phoenix: leaked", NOON)
    assert AuditEntry.objects.get(action="coupon_code.voided").reason == "leaked"
    with pytest.raises(StateConflictError):
        coupon_codes.void_code(tenant_a.pk, code.code, reason="again", actor=SYSTEM, now=NOON)


def test_a_redeemed_code_cannot_be_declared_void(tenant_a: Tenant) -> None:
    code = make_codes(make_coupon(tenant_a))[0]
    make_custom(tenant_a)
    for each in (code.code, "SUMMER"):
        redeem(tenant_a, each)

        with pytest.raises(StateConflictError):
            coupon_codes.void_code(tenant_a.pk, each, reason="x", actor=SYSTEM, now=NOON)


def test_an_unknown_code_cannot_be_declared_void(tenant_a: Tenant, tenant_b: Tenant) -> None:
    make_custom(tenant_b)

    with pytest.raises(NotFoundError):
        coupon_codes.void_code(tenant_a.pk, "SUMMER", reason="x", actor=SYSTEM, now=NOON)


# --- Codes as rewards ----------------------------------------------------------------------------


@transaction.atomic
def assign(tenant: Tenant, coupon_id: UUID, count: int = 1) -> list[AssignedCode]:
    player_id = ensure_players([(tenant.pk, "ana")], now=NOON)[tenant.pk, "ana"]
    cause = Cause(
        tenant_id=tenant.pk, source_type="rule", source_id="r", kind="firing", id=str(uuid4())
    )
    with settling([player_id], now=NOON) as settlement:
        desk = settlement.part(CouponDesk)
        return [desk.assign(player_id, coupon_id, cause) for _ in range(count)]


def test_codes_are_given_to_a_player_by_the_dozen(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a)

    given = assign(tenant_a, coupon.pk, 100)

    assert len({each.code for each in given}) == 100
    assert codes_of(coupon) == {each.code for each in given}
    assert coupon.codes.filter(player__external_id="ana").count() == 100


def test_a_custom_coupon_gives_the_code_that_all_share(tenant_a: Tenant) -> None:
    coupon = make_custom(tenant_a)

    assert {each.code for each in assign(tenant_a, coupon.pk, 2)} == {"SUMMER"}
    assert coupon.codes.count() == 1


def test_an_archived_coupon_gives_no_code(tenant_a: Tenant) -> None:
    coupon = make_coupon(tenant_a, status="archived")

    for coupon_id in (coupon.pk, uuid4()):
        with pytest.raises(CouponInactiveError):
            assign(tenant_a, coupon_id)


def test_a_code_that_is_taken_at_the_last_moment_undoes_the_whole(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = make_coupon(tenant_a)
    taken = make_codes(coupon)[0].code
    monkeypatch.setattr(coupon_codes, "free_codes", lambda *_: ["FREE-1", taken])

    with pytest.raises(UnavailableError):
        assign(tenant_a, coupon.pk, 2)

    assert codes_of(coupon) == {taken}


# --- Real connections ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestOnRealConnections:
    @pytest.mark.processes
    def test_a_killed_generation_is_taken_up_again_and_makes_no_code_twice(
        self, tenant_a: Tenant
    ) -> None:
        coupon = make_coupon(tenant_a)
        job = generate(tenant_a, coupon.pk, count=12_000)

        assert job_kinds.run_in_doomed_worker(job.pk, dies_at=2) == -signal.SIGKILL
        assert coupon.codes.count() == 5000
        lease = Job.objects.get(pk=job.pk).leased_until
        assert lease is not None
        jobs.sweep_jobs(now=lease + timedelta(seconds=1))
        jobs.run_job(job.pk, clock=lambda: lease + timedelta(seconds=1))

        done = Job.objects.get(pk=job.pk)
        assert (done.status, done.attempt, done.result["generated"]) == ("done", 2, 12_000)
        assert coupon.codes.count() == 12_000

    def test_two_imports_of_the_same_codes_at_once_take_each_over_once(
        self, tenant_a: Tenant
    ) -> None:
        coupon = make_coupon(tenant_a)
        rows = [{"code": f"CODE-{number}"} for number in range(200)]

        found = at_once([lambda: take_over(coupon, rows), lambda: take_over(coupon, rows[::-1])])

        statuses = [verdict.status for verdicts in found for verdict in verdicts]
        assert (statuses.count("imported"), statuses.count("duplicate")) == (200, 200)
        assert coupon.codes.count() == 200
