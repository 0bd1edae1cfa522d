"""Wallets on the query gateway and on the admin gateway (spec 03 section 3)."""

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.drf import read_page
from rewards.api import wallet_shapes as shapes
from rewards.api.collections import DEFAULT_LIMIT, MAX_LIMIT, AdminView, page_parameters
from rewards.api.questions import bad_value, read_choice, read_text, read_time
from rewards.api.views.jobs import QueuedJobOutput, queued
from rewards.models import LedgerTransaction
from rewards.rules import wallet_requests as requests
from rewards.selectors import proofs as proof_selectors
from rewards.selectors import wallets as selectors
from rewards.selectors.wallet_explanations import explanations
from rewards.services import jobs, proofs, reversals
from rewards.services import wallets as services
from rewards.services.holds import HoldState
from rewards.types.money import Movement
from rewards.types.wallets import MoveInput, TransactionFilter
from tenants.api.idempotency import idempotent
from tenants.api.query import PlayerGatewayView

_TAG = ["wallet"]
_MAX_ENTRIES = 1000
_USER = OpenApiParameter("user_id", str)
_CURRENCY = OpenApiParameter("currency_id", str)

# --- Query gateway -------------------------------------------------------------------------------


class BalancesView(PlayerGatewayView):
    """The wallets of the token's player."""

    @extend_schema(parameters=[_USER], responses={200: shapes.BalancesOutput}, tags=_TAG)
    def get(self, request: Request) -> Response:
        """Show the player's wallets in every currency, empty ones too."""
        user_id = self.check_player(request.GET.get("user_id"))
        found = selectors.balances(self.tenant_id, user_id, now=self.asked_at)
        return Response(shapes.balances_body(found))


class BalanceView(PlayerGatewayView):
    """One wallet of the token's player."""

    @extend_schema(parameters=[_USER], responses={200: shapes.BalancesOutput}, tags=_TAG)
    def get(self, request: Request, currency_id: str) -> Response:
        """Show the player's wallet in one currency."""
        user_id = self.check_player(request.GET.get("user_id"))
        found = selectors.balances(
            self.tenant_id, user_id, now=self.asked_at, currency_id=currency_id
        )
        return Response(shapes.balances_body(found))


class EntriesView(PlayerGatewayView):
    """What moved the wallets of the token's player."""

    @extend_schema(
        parameters=[_CURRENCY, _USER, *page_parameters(_MAX_ENTRIES, DEFAULT_LIMIT)],
        responses={200: shapes.WalletEntryOutput(many=True)},
        tags=_TAG,
    )
    def get(self, request: Request) -> Response:
        """List the movements, newest first; `X-Total-Count` has the whole number."""
        user_id = self.check_player(request.GET.get("user_id"))
        page = read_page(request, default=DEFAULT_LIMIT, maximum=_MAX_ENTRIES)
        found = selectors.wallet_entries(
            self.tenant_id,
            user_id,
            currency_id=read_text(request.GET, "currency_id"),
            limit=page.limit,
            offset=page.offset,
        )
        headers = {"X-Total-Count": str(found.total)}
        return Response(shapes.entry_bodies(found.items), headers=headers)


# --- Admin gateway -------------------------------------------------------------------------------


class WalletView(AdminView):
    """Base of the views of wallets on the admin gateway."""

    scope = "wallet"

    @property
    def key(self) -> str | None:
        """Return the request's idempotency key, which is then the ledger's too."""
        return self.request.headers.get("Idempotency-Key")


class AdminBalancesView(WalletView):
    """The wallets of any player, also as they were."""

    @extend_schema(
        parameters=[
            OpenApiParameter("user_id", str, required=True),
            OpenApiParameter("as_of", OpenApiTypes.DATETIME, description="By default now."),
        ],
        responses={200: shapes.AdminBalancesOutput},
        tags=_TAG,
    )
    def get(self, request: Request, **_kwargs: Any) -> Response:
        """Show a player's wallets, at any instant."""
        user_id = read_text(request.GET, "user_id")
        if not user_id:
            raise bad_value("user_id", "is required")
        at, now = read_time(request.GET, "as_of"), timezone.now()
        if at is not None and at > now:
            raise bad_value("as_of", "must not be in the future")
        found = selectors.admin_balances(self.tenant_id, user_id, at=at, now=now)
        return Response(shapes.admin_balances_body(found))


class MoveView(WalletView, ABC):
    """Base of what moves an amount between a wallet and the house."""

    operation = ""

    @abstractmethod
    def move(self, wanted: MoveInput, key: str) -> Movement:
        """Do it."""

    @idempotent
    def post(self, request: Request, **_kwargs: Any) -> HttpResponse:
        wanted = requests.read_move(self.read_body())
        key = services.request_key(self.operation, self.actor, self.key)
        movement = self.move(wanted, key)
        return Response(shapes.movement_body(movement), status=status.HTTP_201_CREATED)


@extend_schema(request=shapes.GrantInputShape, responses={201: shapes.MovementOutput}, tags=_TAG)
class GrantView(MoveView):
    """Where a player is given an amount."""

    operation = "grant"

    def move(self, wanted: MoveInput, key: str) -> Movement:
        return services.grant(self.tenant_id, wanted, key=key, actor=self.actor, now=timezone.now())


@extend_schema(request=shapes.MoveInputShape, responses={201: shapes.MovementOutput}, tags=_TAG)
class DeductView(MoveView):
    """Where an amount is taken from a player."""

    operation = "deduct"

    def move(self, wanted: MoveInput, key: str) -> Movement:
        return services.deduct(
            self.tenant_id, wanted, key=key, actor=self.actor, now=timezone.now()
        )


class BulkGrantView(WalletView):
    """Where many players are given amounts at once."""

    @extend_schema(
        request=shapes.BulkGrantInput, responses={200: shapes.BulkGrantOutput}, tags=_TAG
    )
    @idempotent
    def post(self, request: Request, **_kwargs: Any) -> HttpResponse:
        """Give amounts to many players; each item has its own verdict."""
        results = services.grant_bulk(
            self.tenant_id,
            requests.read_bulk(self.read_body()),
            key=self.key,
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(shapes.bulk_body(results))


class HoldsView(WalletView):
    """Where an amount is set aside."""

    @extend_schema(request=shapes.HoldInputShape, responses={201: shapes.HoldOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, **_kwargs: Any) -> HttpResponse:
        """Set an amount aside."""
        hold = services.open_hold(
            self.tenant_id,
            requests.read_hold(self.read_body()),
            key=services.request_key("hold", self.actor, self.key),
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(shapes.hold_body(hold), status=status.HTTP_201_CREATED)


class HoldActionView(WalletView, ABC):
    """Base of what ends a hold, or a part of it."""

    @abstractmethod
    def end(self, hold_id: UUID, sent: dict[str, Any]) -> HoldState:
        """Do it."""

    @idempotent
    def post(self, request: Request, hold_id: UUID, **_kwargs: Any) -> HttpResponse:
        return Response(shapes.hold_body(self.end(hold_id, self.read_body())))


@extend_schema(request=shapes.CaptureInputShape, responses={200: shapes.HoldOutput}, tags=_TAG)
class CaptureView(HoldActionView):
    """Where what is set aside is paid."""

    def end(self, hold_id: UUID, sent: dict[str, Any]) -> HoldState:
        amount, target, reason = requests.read_capture(sent)
        return services.capture_hold(
            self.tenant_id,
            hold_id,
            amount,
            target,
            key=services.request_key(f"capture:{hold_id}", self.actor, self.key),
            actor=self.actor,
            now=timezone.now(),
            reason=reason,
        )


@extend_schema(request=shapes.ReleaseInputShape, responses={200: shapes.HoldOutput}, tags=_TAG)
class ReleaseView(HoldActionView):
    """Where what is set aside goes back."""

    def end(self, hold_id: UUID, sent: dict[str, Any]) -> HoldState:
        amount, reason = requests.read_release(sent)
        return services.release_hold(
            self.tenant_id,
            hold_id,
            amount,
            key=services.request_key(f"release:{hold_id}", self.actor, self.key),
            actor=self.actor,
            now=timezone.now(),
            reason=reason,
        )


class TransactionsView(WalletView):
    """The transactions of a tenant."""

    @extend_schema(
        parameters=[
            _USER,
            _CURRENCY,
            OpenApiParameter("kind", str, enum=LedgerTransaction.Kind.values),
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="At or after."),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before."),
            OpenApiParameter("cause", str, description="An id, or kind:id."),
            *page_parameters(MAX_LIMIT, DEFAULT_LIMIT),
        ],
        responses={200: shapes.TransactionListOutput},
        tags=_TAG,
    )
    def get(self, request: Request, **_kwargs: Any) -> Response:
        """List transactions with their postings, newest first."""
        query = request.GET
        page = read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
        asked = TransactionFilter(
            user_id=read_text(query, "user_id"),
            currency_id=read_text(query, "currency_id"),
            kind=read_choice(query, "kind", LedgerTransaction.Kind.values),
            since=read_time(query, "from"),
            until=read_time(query, "to"),
            cause=read_text(query, "cause"),
        )
        found = selectors.transactions(self.tenant_id, asked, limit=page.limit, offset=page.offset)
        why = explanations(found.items)
        bodies = [shapes.transaction_body(view, why[view.id]) for view in found.items]
        return Response({"total": found.total, "transactions": bodies})


class TransactionDetailView(WalletView):
    """One transaction."""

    @extend_schema(responses={200: shapes.TransactionOutput}, tags=_TAG)
    def get(self, request: Request, transaction_id: UUID, **_kwargs: Any) -> Response:
        """Show a transaction with its postings and why it is what it is."""
        view = selectors.get_transaction(self.tenant_id, transaction_id)
        return Response(shapes.transaction_body(view, explanations([view])[view.id]))


class ReverseView(WalletView):
    """Where a transaction is taken back."""

    @extend_schema(
        request=shapes.ReverseInputShape, responses={201: shapes.ReversedOutput}, tags=_TAG
    )
    @idempotent
    def post(self, request: Request, transaction_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Take a transaction back, once."""
        reason, clip = requests.read_reversal(self.read_body())
        outcome = reversals.reverse(
            self.tenant_id,
            transaction_id,
            clip=clip,
            reason=reason,
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(shapes.reversed_body(outcome), status=status.HTTP_201_CREATED)


class ProofsView(WalletView):
    """The proofs of a tenant's ledger, and where one is asked for."""

    @extend_schema(
        parameters=page_parameters(MAX_LIMIT, DEFAULT_LIMIT),
        responses={200: shapes.ProofListOutput},
        tags=_TAG,
    )
    def get(self, request: Request, **_kwargs: Any) -> Response:
        """List proofs, newest first."""
        page = read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
        found = proof_selectors.proof_page(self.tenant_id, limit=page.limit, offset=page.offset)
        bodies = [shapes.proof_body(proof) for proof in found.items]
        return Response({"total": found.total, "proofs": bodies})

    @extend_schema(request=None, responses={202: OpenApiResponse(QueuedJobOutput)}, tags=_TAG)
    @idempotent
    def post(self, request: Request, **_kwargs: Any) -> HttpResponse:
        """Prove the ledger now."""
        self.read_body()
        now = timezone.now()
        return queued(jobs.enqueue(self.tenant_id, proofs.JOB, {}, self.actor.label, now))
