"""Try an integration with Phoenix: a good event, a forged one and a stale one.

Usage, with the values that an operator got (defaults are the sandbox's):

    python integration_test.py --base-url http://127.0.0.1:8000 --tenant test-tenant \
        --secret test_secret_key_12345 [--auth hmac|jwt]

It needs nothing but Python and makes only documented calls. One line per test; the first miss
ends it with exit code 1.
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

PATH = "/v1/events"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def tenant_jwt(tenant: str, secret: str, expires_in: int) -> str:
    now = int(time.time())
    header = b64url(b'{"alg":"HS256","typ":"JWT"}')
    claims = {
        "sub": "integration-test",
        "sub_type": "tenant",
        "sub_id": tenant,
        "iat": now - 7200 if expires_in < 0 else now,
        "exp": now + expires_in,
    }
    payload = b64url(json.dumps(claims, separators=(",", ":")).encode())
    signed = f"{header}.{payload}".encode()
    signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return f"{header}.{payload}.{b64url(signature)}"


def hmac_headers(tenant: str, secret: str, body: bytes, timestamp: int) -> dict[str, str]:
    canonical = b"\n".join([b"POST", PATH.encode(), str(timestamp).encode(), body])
    digest = hmac.digest(secret.encode(), canonical, hashlib.sha256).hex()
    return {
        "X-Tenant-Id": tenant,
        "X-Timestamp": str(timestamp),
        "X-Signature": f"hmac-sha256={digest}",
    }


def changed(text: str) -> str:
    """Return ``text`` with one digit in its middle changed."""
    middle = len(text) - 8
    other = "0" if text[middle] != "0" else "1"
    return text[:middle] + other + text[middle + 1 :]


def event(event_id: str) -> bytes:
    # A fixed time within the day keeps the content equal when the script runs again today.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return json.dumps(
        {
            "event_id": event_id,
            "type": "transaction.completed",
            "actor": {"user_id": "integration-test"},
            "occurred_at": today.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "attrs": {"amount": 1},
        }
    ).encode()


def post(base_url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(  # noqa: S310 - the address is the caller's own
        base_url + PATH, data=body, headers={"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def requests_of(args: argparse.Namespace) -> list[tuple[str, bytes, dict[str, str], str]]:
    """Return (name, body, headers, wanted) of the three tests."""
    day = datetime.now(UTC).strftime("%Y%m%d")
    bodies = [event(f"evt_test_00{number}_{day}") for number in (1, 2, 3)]
    if args.auth == "jwt":
        good = tenant_jwt(args.tenant, args.secret, 3600)
        stale = tenant_jwt(args.tenant, args.secret, -3600)
        sent = [
            {"Authorization": f"Bearer {good}"},
            {"Authorization": f"Bearer {changed(good)}"},
            {"Authorization": f"Bearer {stale}"},
        ]
        wanted = ["accepted", "AUTH_001", "AUTH_003"]
    else:
        now = int(time.time())
        sent = [hmac_headers(args.tenant, args.secret, body, now) for body in bodies]
        sent[1]["X-Signature"] = changed(sent[1]["X-Signature"])
        sent[2] = hmac_headers(args.tenant, args.secret, bodies[2], now - 302)
        wanted = ["accepted", "AUTH_001", "AUTH_004"]
    names = ["a good event is accepted", "a forged one is refused", "a stale one is refused"]
    return list(zip(names, bodies, sent, wanted, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--tenant", default="test-tenant")
    parser.add_argument("--secret", default="test_secret_key_12345")
    parser.add_argument("--auth", choices=["hmac", "jwt"], default="hmac")
    args = parser.parse_args()
    for name, body, headers, wanted in requests_of(args):
        status, answer = post(args.base_url.rstrip("/"), body, headers)
        got = answer.get("status") if status < 300 else answer.get("code")
        passed = got == wanted
        print(f"{'PASS' if passed else 'FAIL'}  {name}: {status} {got}")
        if not passed:
            print(f"      expected {wanted}, got {json.dumps(answer)}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
