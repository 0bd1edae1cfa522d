"""Jobs: what runs in the background, how far it is, and what came of it."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phoenix_site.common.admin import InfinitePaginator, ReadOnlyAdmin, action, display, say_refusal
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.json import encode
from rewards.models.jobs import Job
from rewards.services import jobs
from tenants.admin.scoped import TenantScopedAdmin

_REFRESH_SECONDS = "2"
_LABELS = {
    "queued": None,
    "running": "info",
    "done": "success",
    "failed": "danger",
    "cancelled": "warning",
}


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Made by the pages and calls that need them; the page of one that runs follows it."""

    list_display = ["what", "state", "bar", "author", "created", "finished"]
    list_filter = ["status", "kind", "tenant"]
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ["-created_at"]
    actions = None
    actions_detail = ["cancel_job"]
    fieldsets = [
        (None, {"fields": [("what", "tenant"), ("state", "bar"), "author"]}),
        ("Times (UTC)", {"fields": [("created", "started", "finished")]}),
        ("Asked for", {"fields": ["asked"]}),
        ("Outcome", {"fields": ["outcome", "fault"]}),
    ]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = super().changeform_view(request, *args, **kwargs)
        job = getattr(answer, "context_data", {}).get("original")
        if job is not None and job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
            answer["Refresh"] = _REFRESH_SECONDS
        return answer

    def has_cancel_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may end jobs from who may only look at them."""
        return bool(request.user.has_perm("rewards.change_job"))

    @action(description="Cancel", permissions=["cancel"], icon="cancel")
    def cancel_job(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = self.get_queryset(request).filter(pk=object_id).first()
        if job is None:
            return redirect(reverse("admin:rewards_job_changelist"))
        try:
            done = jobs.cancel(job.tenant_id, job.pk, now=timezone.now())
        except DomainError as exc:
            say_refusal(self, request, job, exc)
        else:
            is_over = done.status == Job.Status.CANCELLED
            text = "The job is cancelled." if is_over else "The job ends within moments."
            self.message_user(request, text, messages.SUCCESS)
        return redirect(reverse("admin:rewards_job_change", args=[object_id]))

    @display(description="Job", ordering="kind")
    def what(self, job: Job) -> str:
        return job.kind.replace("_", " ").capitalize()

    @display(description="Status", ordering="status", label=_LABELS)
    def state(self, job: Job) -> tuple[str, str]:
        return job.status, job.get_status_display()

    @display(description="Progress")
    def bar(self, job: Job) -> SafeString:
        return format_html(
            '<progress max="1" value="{}"></progress> {}%',
            str(job.progress),
            f"{100 * job.progress:.0f}",
        )

    @display(description="Created (UTC)", ordering="created_at")
    def created(self, job: Job) -> str:
        return f"{job.created_at:%d %b %Y, %H:%M:%S}"

    @display(description="Started")
    def started(self, job: Job) -> str:
        return f"{job.started_at:%d %b %Y, %H:%M:%S}" if job.started_at else "-"

    @display(description="Finished")
    def finished(self, job: Job) -> str:
        return f"{job.finished_at:%d %b %Y, %H:%M:%S}" if job.finished_at else "-"

    @display(description="Parameters")
    def asked(self, job: Job) -> SafeString:
        return _shown(job.parameters)

    @display(description="Result")
    def outcome(self, job: Job) -> SafeString:
        return _shown(job.result)

    @display(description="Error")
    def fault(self, job: Job) -> str:
        return f"{job.error['message']} ({job.error['code']})" if job.error else "-"


def _shown(values: dict[str, Any]) -> SafeString:
    """Return the values as a list of facts; what is long is cut."""
    rows = [(name.replace("_", " "), _cut(value)) for name, value in values.items()]
    facts = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows)
    return format_html('<dl class="phoenix-facts">{}</dl>', facts) if rows else SafeString("-")


def _cut(value: Any, most: int = 300) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= most else f"{text[:most]}…"
