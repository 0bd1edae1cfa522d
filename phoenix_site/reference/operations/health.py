"""Health and readiness, which every process answers."""

from phoenix_site.reference.types import Examples, Key, Operation

OPERATIONS: dict[Key, Operation] = {
    ("get", "/health"): Operation(
        id="getHealth",
        summary="Ask whether the process answers",
        description="Open to everybody. A credential that is sent is verified, so this is also "
        "the place to try one.",
        errors=("AUTH_001", "AUTH_003", "AUTH_004", "AUTH_005", "RATE_001"),
        security=[
            {},
            {"tenantToken": []},
            {"tenantSignature": []},
            {"apiKey": []},
            {"adminToken": []},
        ],
        answer=Examples(
            {
                "without a credential": {"status": "healthy"},
                "with an API key": {
                    "status": "healthy",
                    "credential": "api_key",
                    "tenant_ids": ["test-tenant"],
                },
            }
        ),
    ),
    ("get", "/ready"): Operation(
        id="getReadiness",
        summary="Ask whether the process may get traffic",
        description="For balancers: 200 while it may, `degraded` included; 503 while it may not.",
        errors=("SRV_002",),
        answer={
            "status": "ready",
            "database": "connected",
            "message_queue": "connected",
            "last_worker_heartbeat": "2026-11-18T12:00:00Z",
            "largest_consumer_lag_seconds": 0.2,
        },
    ),
}
