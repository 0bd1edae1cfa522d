"""Coupons on the admin gateway: codes made, imported, exported, declared void; reversals."""

from collections.abc import Mapping
from typing import IO, Any
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.drf import JsonOnly, read_page
from phoenix_site.common.exceptions import InvalidInputError, TooLargeError
from phoenix_site.common.formats import JSONParser
from phoenix_site.common.handler import MAX_BODY_BYTES
from phoenix_site.common.streams import file_answer
from rewards.api import coupon_shapes as shapes
from rewards.api.collections import DEFAULT_LIMIT, MAX_LIMIT, AdminView, page_parameters
from rewards.api.questions import bad_value
from rewards.api.serializers import ReasonInput
from rewards.api.views.jobs import QueuedJobOutput, queued
from rewards.models import Job
from rewards.selectors import coupon_codes as codes
from rewards.selectors import coupon_exports, coupons
from rewards.services import coupon_codes, coupon_imports, coupon_reversals
from rewards.services.grants import check_reason
from tenants.api.idempotency import idempotent

_TAG = ["rewards"]


class CsvParser(BaseParser):
    """Read CSV in UTF-8 as one text."""

    media_type = "text/csv"

    def parse(  # type: ignore[override]  # the framework itself takes whatever comes
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> str:
        body: bytes = stream.read()
        if len(body) > MAX_BODY_BYTES:
            raise TooLargeError(f"The body is over {MAX_BODY_BYTES} bytes.")
        try:
            return body.decode()
        except UnicodeDecodeError as exc:
            raise InvalidInputError("The body is not UTF-8.") from exc


class CsvOrJson(JsonOnly):
    """Take CSV beside JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        sent = (request.content_type or "").split(";")[0].strip().lower()
        return parsers[1] if sent == "text/csv" else super().select_parser(request, parsers)


class GenerateView(AdminView):
    """Where random codes are made."""

    @extend_schema(
        request=shapes.GenerateInput,
        responses={201: shapes.CodeListOutput, 202: QueuedJobOutput},
        tags=_TAG,
    )
    @idempotent
    def post(self, request: Request, coupon_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Make codes; more than 1 000 are a job."""
        made = coupon_codes.generate(
            self.tenant_id, coupon_id, self.read_body(), actor=self.actor, now=timezone.now()
        )
        if isinstance(made, Job):
            return queued(made)
        shown = [codes.code_document(code) for code in made]
        return Response({"coupons": shown, "total": len(shown)}, status=status.HTTP_201_CREATED)


class ImportView(AdminView):
    """Where codes that were made elsewhere are taken over."""

    parser_classes = [JSONParser, CsvParser]
    content_negotiation_class = CsvOrJson

    @extend_schema(
        request=shapes.ImportInput,
        responses={200: shapes.ImportOutput, 202: QueuedJobOutput},
        tags=_TAG,
    )
    @idempotent
    def post(self, request: Request, coupon_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Take over codes, with a verdict for each; more than 1 000 rows are a job."""
        rows = coupon_imports.read_import(self._sent_rows(request.data))
        done = coupon_imports.import_rows(
            self.tenant_id, coupon_id, rows, actor=self.actor, now=timezone.now()
        )
        return (
            queued(done)
            if isinstance(done, Job)
            else Response(coupon_imports.import_document(done))
        )

    def _sent_rows(self, sent: Any) -> Any:
        if isinstance(sent, str):
            return sent
        if not isinstance(sent, dict) or "rows" not in sent:
            raise bad_value("rows", "is required")
        if sent.get("tenant_id", self.tenant_id) != self.tenant_id:
            raise bad_value("tenant_id", "is not the tenant of the request")
        return sent["rows"]


class ExportView(AdminView):
    """All codes of a coupon as CSV."""

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR}, tags=_TAG)
    def get(self, request: Request, coupon_id: UUID, **_kwargs: Any) -> HttpResponseBase:
        """Export the codes, in the order in which they were made."""
        coupon = coupons.get_coupon(self.tenant_id, coupon_id)
        return file_answer(
            request._request,  # noqa: SLF001 - the only way to it
            coupon_exports.export_parts(coupon.tenant_id, coupon.pk, now=timezone.now()),
            name=coupon_exports.export_name(coupon.pk),
            content_type="text/csv",
        )


class CouponRedemptionsView(AdminView):
    """Who redeemed a coupon's codes."""

    @extend_schema(
        parameters=page_parameters(MAX_LIMIT, DEFAULT_LIMIT),
        responses={200: shapes.StaffRedemptionListOutput},
        tags=_TAG,
    )
    def get(self, request: Request, coupon_id: UUID, **_kwargs: Any) -> Response:
        """List the redemptions, newest first."""
        page = read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
        coupon = coupons.get_coupon(self.tenant_id, coupon_id)
        found = codes.redemptions_of_coupon(coupon.pk, limit=page.limit, offset=page.offset)
        shown = [shapes.staff_redemption_body(row) for row in found.items]
        return Response({"total": found.total, "redemptions": shown})


class VoidView(AdminView):
    """Where a code is declared void."""

    @extend_schema(request=ReasonInput, responses={200: shapes.CodeOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, code: str, **_kwargs: Any) -> HttpResponse:
        """Declare a code void that nobody has redeemed."""
        void = coupon_codes.void_code(
            self.tenant_id,
            code,
            reason=check_reason(self.read_body().get("reason")),
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(codes.code_document(void))


class ReverseView(AdminView):
    """Where a redemption is taken back."""

    @extend_schema(
        request=shapes.ReverseInput, responses={200: shapes.StaffRedemptionOutput}, tags=_TAG
    )
    @idempotent
    def post(self, request: Request, redemption_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Revoke what the redemption gave, and free its slot."""
        sent = self.read_body()
        clip = sent.get("clip", False)
        if not isinstance(clip, bool):
            raise bad_value("clip", "must be true or false")
        done = coupon_reversals.reverse_redemption(
            self.tenant_id,
            redemption_id,
            reason=check_reason(sent.get("reason")),
            clip=clip,
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(shapes.staff_redemption_body(done))
