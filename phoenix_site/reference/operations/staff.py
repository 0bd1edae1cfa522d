"""Tokens by which operations people script what they may do in the admin."""

from typing import Final

from phoenix_site.reference.types import Key, Operation

_ERRORS: Final = (
    "VAL_001",
    "VAL_003",
    "AUTH_003",
    "AUTH_005",
    "METHOD",
    "TOO_LARGE",
    "MEDIA_TYPE",
    "RATE_001",
    "SRV_002",
)
_TOKENS: Final = {
    "access": "eyJhbGciOiJFZERTQSIsImtpZCI6IjAxOThhMSJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c2ln",
    "refresh": "eyJhbGciOiJFZERTQSIsImtpZCI6IjAxOThhMSJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2ln",
    "expires_in": 900,
}

OPERATIONS: dict[Key, Operation] = {
    ("post", "/v1/staff/token"): Operation(
        id="createStaffToken",
        summary="Sign in as a member of staff",
        description="Lockout, second factor and audit are those of the admin's login page.",
        errors=(*_ERRORS, "AUTH_002"),
        request={"username": "ops", "password": "correct horse battery", "otp": "123456"},
        answer=_TOKENS,
    ),
    ("post", "/v1/staff/token/refresh"): Operation(
        id="refreshStaffToken",
        summary="Change a refresh token for a new pair",
        description="A refresh token that is used again revokes all tokens of its sign-in.",
        errors=_ERRORS,
        request={"refresh": _TOKENS["refresh"]},
        answer=_TOKENS,
    ),
    ("post", "/v1/staff/token/revoke"): Operation(
        id="revokeStaffToken",
        summary="End all tokens of a sign-in",
        description="A token that is unknown or over is answered alike.",
        errors=_ERRORS,
        request={"refresh": _TOKENS["refresh"]},
    ),
}
