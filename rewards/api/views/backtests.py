"""Backtests of rules, and applying their results, on the admin gateway (spec 03 section 2)."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from rewards.api import backtest_shapes as shapes
from rewards.api.collections import AdminView
from rewards.api.views.jobs import QueuedJobOutput, queued
from rewards.services import backtests, past
from tenants.api.idempotency import idempotent


class BacktestsView(AdminView):
    """Backtests of a rule."""

    @extend_schema(request=shapes.BacktestInput, responses={202: QueuedJobOutput}, tags=["rewards"])
    @idempotent
    def post(self, request: Request, rule_id: str, **_kwargs: Any) -> HttpResponse:
        """Start a job that tells what a version would have done over events of the past."""
        job = backtests.start_backtest(
            self.tenant_id, rule_id, self.read_body(), actor=self.actor, now=timezone.now()
        )
        return queued(job)


class ApplyToPastView(AdminView):
    """What a backtest found, given."""

    @extend_schema(request=shapes.PastInput, responses={202: QueuedJobOutput}, tags=["rewards"])
    @idempotent
    def post(self, request: Request, rule_id: str, **_kwargs: Any) -> HttpResponse:
        """Start a job that gives what a backtest said, where the rule never fired."""
        job = past.apply_to_past(
            self.tenant_id, rule_id, self.read_body(), actor=self.actor, now=timezone.now()
        )
        return queued(job)
