import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.exceptions import (
    BadSignatureError,
    CredentialMissingError,
    CredentialRefusedError,
    TimestampRefusedError,
)
from tenants.rules import signatures
from tenants.types import LiveSecret, RequestFacts

SECRET = "test_secret_key_12345"
NOW = datetime.fromtimestamp(1730113200, tz=UTC)

EVENT_1 = (
    '{"event_id":"evt_test_001","type":"transaction.completed","actor":{"user_id":"user-123"},'
    '"occurred_at":"2025-10-28T11:00:00Z","attrs":{"amount":1}}'
)
EVENT_2 = (
    '{"event_id":"evt_test_002","type":"game.completed","actor":{"user_id":"Zoë"},'
    '"occurred_at":"2025-10-28T12:00:00+01:00","attrs":{}}'
)
# 01/ING-7: method, path, body, length of the canonical string, signature.
VECTORS = [
    (
        "GET",
        "/health",
        "",
        23,
        "8190198747a695d0eaadebfe2d29c3874b027faa7799cc9693a045ffa4a4b8a3",
    ),
    (
        "POST",
        "/v1/events",
        EVENT_1,
        174,
        "ac566e83e92b91335513f53b1e05694bf1b1af818f43434ab29d6e65d5cadd0a",
    ),
    (
        "POST",
        "/v1/events",
        EVENT_2,
        158,
        "324addaff04652b10156d7409f9c898fa9adf2df0676fe3bbcf45bb96b721ac8",
    ),
    (
        "POST",
        "/v1/events/bulk",
        '{"events":[]}',
        45,
        "cda8fb4d151a8352ad6aa44927eb0849ba9d4874b430f3af76563827c2fbd344",
    ),
]


def secret(value: str = SECRET, **changed: object) -> LiveSecret:
    values: dict[str, object] = {
        "secret_id": "s",
        "credential_id": "c",
        "value": value,
        "digest": b"",
        "expires_at": None,
        "allowed_cidrs": (),
        "scopes": None,
        "label": "",
        "is_barred": False,
    }
    return LiveSecret(**(values | changed))  # type: ignore[arg-type]


def request(timestamp: str = "1730113200", signature: str = "", **changed: str) -> RequestFacts:
    headers = {"x-tenant-id": "test-tenant", "x-timestamp": timestamp, "x-signature": signature}
    return RequestFacts("GET", "/health", headers | changed, b"", "192.0.2.1")


@pytest.mark.parametrize(("method", "path", "body", "length", "digest"), VECTORS)
def test_the_published_vectors_hold(
    method: str, path: str, body: str, length: int, digest: str
) -> None:
    facts = RequestFacts(method, path, {}, body.encode(), "")

    canonical = signatures.canonical_string(facts, "1730113200")

    assert len(canonical) == length
    assert signatures.sign(SECRET, canonical) == digest


@pytest.mark.parametrize("form", ["hmac-sha256={}", "{}", "hmac-sha256={upper}"])
def test_the_signature_may_leave_out_the_prefix_and_use_either_case(form: str) -> None:
    digest = VECTORS[0][4]
    facts = request(signature=form.format(digest, upper=digest.upper()))

    assert signatures.find_signer(facts, [secret()], NOW).secret_id == "s"


@pytest.mark.parametrize(
    "signature", ["", "hmac-sha256=", "zz" * 32, "ab" * 31, "ab" * 33, "ab" * 31 + " a", "é" * 64]
)
def test_a_malformed_signature_is_a_bad_signature(signature: str) -> None:
    with pytest.raises(BadSignatureError):
        signatures.find_signer(request(signature=signature), [secret()], NOW)


def test_a_missing_header_is_named() -> None:
    with pytest.raises(CredentialMissingError, match="X-Signature"):
        signatures.claimed_tenant(request(signature=""), NOW)


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_both_ends_of_the_tolerance_are_included(offset: int) -> None:
    late_in_the_second = NOW + timedelta(milliseconds=900)

    facts = request(timestamp=str(1730113200 + offset), signature="x")

    assert signatures.claimed_tenant(facts, late_in_the_second) == "test-tenant"


@pytest.mark.parametrize(
    "timestamp", ["1730112899", "1730113501", "-5", "1e9", "١٧٣٠١١٣٢٠٠", "9" * 5000, "12.5"]
)
def test_a_time_outside_the_tolerance_or_not_in_digits_is_refused(timestamp: str) -> None:
    with pytest.raises(TimestampRefusedError):
        signatures.claimed_tenant(request(timestamp=timestamp, signature="x"), NOW)


def test_milliseconds_are_recognized() -> None:
    with pytest.raises(TimestampRefusedError, match="milliseconds"):
        signatures.claimed_tenant(request(timestamp="1730113200000", signature="x"), NOW)


def test_either_of_two_live_secrets_signs_and_an_ended_one_does_not() -> None:
    facts = request(signature=VECTORS[0][4])
    ended = secret(expires_at=NOW)

    assert signatures.find_signer(facts, [secret("other"), secret()], NOW).value == SECRET
    with pytest.raises(BadSignatureError):
        signatures.find_signer(facts, [ended], NOW)


def test_a_barred_secret_is_refused_as_a_credential_not_as_a_signature() -> None:
    with pytest.raises(CredentialRefusedError):
        signatures.find_signer(request(signature=VECTORS[0][4]), [secret(is_barred=True)], NOW)


@given(path=st.text(st.characters(max_codepoint=255), max_size=40), body=st.binary(max_size=60))
def test_the_canonical_string_keeps_the_received_bytes(path: str, body: bytes) -> None:
    facts = RequestFacts("PUT", path, {}, body, "")

    expected = b"PUT\n" + path.encode("latin-1") + b"\n17\n" + body

    assert signatures.canonical_string(facts, "17") == expected
    digest = hmac.new(SECRET.encode(), expected, hashlib.sha256).hexdigest()
    assert signatures.sign(SECRET, expected) == digest
