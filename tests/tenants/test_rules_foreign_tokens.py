import base64
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.exceptions import BadSignatureError, CredentialMissingError, CredentialRefusedError
from tenants.rules import foreign_tokens
from tests.tenants.test_rules_signatures import secret

SECRET = "test_secret_key_12345"
KEY = "pk_sandbox_0123456789abcdef0123456789abcdef"
KEY_ID = "00000000-0000-7000-8000-000000000001"
# 01/ING-7
TENANT_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyXzEyMyIsInN1Yl90eXBlIjoidGVuYW50Iiwic3Vi"
    "X2lkIjoidGVzdC10ZW5hbnQiLCJpYXQiOjE3MDQwNjcyMDAsImV4cCI6MTcwNDA3MDgwMH0"
    "._c3aIwzwXolRNiMz1lcw6PHY8uSuAFPjbB4yBr_JhAQ"
)
ADMIN_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZG1pbl91c2VyIiwic3ViX3R5cGUiOiJhZG1pbiIsInN1"
    "Yl9pZCI6IjAwMDAwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSIsImlhdCI6MTcwNDA2NzIwMCwiZXhwIjoxNzA0"
    "MDcwODAwfQ.10MzwNRJAJWgc2cVz5j6XtUc2z-_D2boOlOluGG1IZk"
)
ISSUED = datetime.fromtimestamp(1704067200, tz=UTC)
PAYLOAD = {
    "sub": "user_123",
    "sub_type": "tenant",
    "sub_id": "test-tenant",
    "iat": 1704067200,
    "exp": 1704070800,
}


def token(header: dict[str, Any] | None = None, **claims: Any) -> str:
    payload = {k: v for k, v in (PAYLOAD | claims).items() if v is not None}
    parts = [header or {"alg": "HS256", "typ": "JWT"}, payload]
    texts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts]
    return b".".join([*texts, b"AAAA"]).decode()


def test_the_published_tokens_hold() -> None:
    tenant = foreign_tokens.read_claims(TENANT_TOKEN, sub_type="tenant")
    admin = foreign_tokens.read_claims(ADMIN_TOKEN, sub_type="admin")

    assert (tenant.subject_id, tenant.user_id) == ("test-tenant", "user_123")
    assert (admin.subject_id, admin.user_id) == (KEY_ID, "admin_user")
    foreign_tokens.check_times(tenant, ISSUED)
    foreign_tokens.check_times(admin, ISSUED)
    assert foreign_tokens.find_signer(TENANT_TOKEN, [secret(SECRET)], ISSUED)
    assert foreign_tokens.find_signer(ADMIN_TOKEN, [secret(KEY)], ISSUED)


def test_the_published_token_is_what_we_would_sign() -> None:
    assert foreign_tokens.sign_token(PAYLOAD, SECRET) == TENANT_TOKEN


@pytest.mark.parametrize(
    "header", ["Basic abc", "Bearer", "Bearer ", "Bearer a b", "", "abc", "Bearer a,Bearer b"]
)
def test_a_header_that_is_not_bearer_and_one_token_is_a_missing_credential(header: str) -> None:
    with pytest.raises(CredentialMissingError):
        foreign_tokens.read_bearer(header)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "Bearer  abc ", "BEARER abc"])
def test_the_scheme_is_read_in_any_case(header: str) -> None:
    assert foreign_tokens.read_bearer(header) == "abc"


@pytest.mark.parametrize(
    "text",
    [
        "a.b",
        "a.b.c.d",
        "..",
        "!!!.b.c",
        "eyJhbGciOiJIUzI1NiJ9.W10.AAAA",
        "eyJhbGciOiJIUzI1NiJ9.eyJ9.AAAA",
        TENANT_TOKEN + "=",
        "a" * 9000 + ".b.c",
        "[" * 6000 + ".b.c",
    ],
)
def test_what_is_not_three_base64url_parts_with_an_object_is_refused(text: str) -> None:
    with pytest.raises(CredentialRefusedError):
        foreign_tokens.read_claims(text, sub_type="tenant")


@pytest.mark.parametrize(
    "claims",
    [
        {"sub_type": "admin"},
        {"sub_type": None},
        {"sub_id": None},
        {"sub_id": 7},
        {"sub_id": ""},
        {"exp": None},
        {"exp": "1704070800"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"exp": -1},
        {"iat": "x"},
        {"sub": 5},
        {"nbf": "soon"},
        {"scope": ["query"]},
    ],
)
def test_a_claim_that_is_missing_or_of_the_wrong_type_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(CredentialRefusedError):
        foreign_tokens.read_claims(token(**claims), sub_type="tenant")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": None},
        {"typ": "JWT"},
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
    ],
)
def test_only_hs256_without_critical_extensions_is_taken(header: dict[str, Any]) -> None:
    with pytest.raises(CredentialRefusedError):
        foreign_tokens.read_claims(token(header), sub_type="tenant")


@pytest.mark.parametrize("sub", ["", " a", "a/b", "a\x00", "a" * 129, "\ud800", "a\u0085"])
def test_a_sender_may_have_any_name_but_no_player_has_it(sub: str) -> None:
    assert foreign_tokens.read_claims(token(sub=sub), sub_type="tenant").user_id is None


def test_a_back_offices_name_is_kept_without_what_cannot_be_shown() -> None:
    claims = foreign_tokens.read_claims(
        token(sub_type="admin", sub="Jo from \x00Support" + "!" * 200), sub_type="admin"
    )

    assert claims.user_id is not None
    assert claims.user_id.startswith("Jo from Support!!")
    assert len(claims.user_id) == 128


def test_a_token_is_not_taken_before_its_time() -> None:
    claims = foreign_tokens.read_claims(token(nbf=1704067200 + 60), sub_type="tenant")

    with pytest.raises(CredentialRefusedError, match="not valid yet"):
        foreign_tokens.check_times(claims, ISSUED)
    foreign_tokens.check_times(claims, datetime.fromtimestamp(1704067200 + 31, tz=UTC))


def test_absent_optional_claims_are_absent() -> None:
    claims = foreign_tokens.read_claims(token(sub=None, iat=None), sub_type="tenant")

    assert (claims.user_id, claims.issued_at, claims.scopes) == (None, None, None)
    assert foreign_tokens.read_claims(
        token(scope="events:write  query"), sub_type="tenant"
    ).scopes == frozenset({"events:write", "query"})


@pytest.mark.parametrize(("offset", "is_taken"), [(3629, True), (3630, False), (3631, False)])
def test_a_token_is_taken_until_thirty_seconds_after_its_end(offset: int, is_taken: bool) -> None:
    claims = foreign_tokens.read_claims(TENANT_TOKEN, sub_type="tenant")
    now = datetime.fromtimestamp(1704067200 + offset, tz=UTC)

    if is_taken:
        foreign_tokens.check_times(claims, now)
    else:
        with pytest.raises(CredentialRefusedError, match="expired"):
            foreign_tokens.check_times(claims, now)


@pytest.mark.parametrize(("ahead", "is_taken"), [(300, True), (301, False)])
def test_a_token_from_the_future_is_refused(ahead: int, is_taken: bool) -> None:
    claims = foreign_tokens.read_claims(token(iat=1704067200 + ahead), sub_type="tenant")

    if is_taken:
        foreign_tokens.check_times(claims, ISSUED)
    else:
        with pytest.raises(CredentialRefusedError, match="future"):
            foreign_tokens.check_times(claims, ISSUED)


def test_any_other_signature_is_bad() -> None:
    changed = TENANT_TOKEN[:-4] + ("A" if TENANT_TOKEN[-4] != "A" else "B") + TENANT_TOKEN[-3:]

    for text in (changed, TENANT_TOKEN):
        with pytest.raises(BadSignatureError):
            foreign_tokens.find_signer(text, [secret("another secret")], ISSUED)
    with pytest.raises(BadSignatureError):
        foreign_tokens.find_signer(changed, [secret(SECRET)], ISSUED)


def test_a_token_of_another_algorithm_with_our_secret_is_bad() -> None:
    other = jwt.encode(PAYLOAD, "k" * 64, algorithm="HS512")

    with pytest.raises(BadSignatureError):
        foreign_tokens.find_signer(other, [secret("k" * 64)], ISSUED)


@given(st.text(max_size=200))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    with pytest.raises(CredentialRefusedError):
        foreign_tokens.read_claims(text, sub_type="tenant")


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.text(), st.none())))
def test_a_token_of_pyjwt_verifies_and_ours_verifies_there(extra: dict[str, Any]) -> None:
    payload = {k: v for k, v in extra.items() if k not in PAYLOAD and k not in {"scope", "nbf"}}
    theirs = jwt.encode(PAYLOAD | payload, "s" * 32, algorithm="HS256")
    ours = foreign_tokens.sign_token(PAYLOAD | payload, "s" * 32)

    assert foreign_tokens.find_signer(theirs, [secret("s" * 32)], ISSUED)
    assert jwt.decode(ours, "s" * 32, algorithms=["HS256"], options={"verify_exp": False})
