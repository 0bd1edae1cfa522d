"""How often a caller may come, for Django REST framework.

A throttle leaves its headers in ``answer_headers`` of Django's request, from where ``GatewayView``
puts them into the answer; a refused request is a ``RateLimitedError`` that carries its own.
"""

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from tenants.api.authentication import caller_of, request_address
from tenants.constants import STAFF_LOGIN
from tenants.services import limits
from tenants.services.limits import Take


class BucketThrottle(BaseThrottle):
    """Base: a subclass names the buckets that pay for a request."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        headers = limits.enforce(limits.take_all(*self.takes(request)))
        request._request.answer_headers = headers  # type: ignore[attr-defined]  # noqa: SLF001
        return True

    def takes(self, request: Request) -> tuple[Take, ...]:
        """Return the buckets, the one that the answer shows first."""
        raise NotImplementedError


class AdminThrottle(BucketThrottle):
    """600 per minute and key, admin token or staff member."""

    def takes(self, request: Request) -> tuple[Take, ...]:
        return (limits.admin_take(caller_of(request)),)


class QueryThrottle(BucketThrottle):
    """600 per minute and player, 60 000 per tenant."""

    def takes(self, request: Request) -> tuple[Take, ...]:
        return limits.query_takes(caller_of(request))


class StaffLoginThrottle(BucketThrottle):
    """60 per minute and source address, before anybody is known."""

    def takes(self, request: Request) -> tuple[Take, ...]:
        return (Take(STAFF_LOGIN, None, request_address(request._request)),)  # noqa: SLF001
