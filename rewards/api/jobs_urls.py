"""Paths of jobs."""

from typing import Any

from rewards.api.collections import admin_paths
from rewards.api.views import jobs

admin_urlpatterns: list[Any] = [
    *admin_paths("jobs/<uuid:job_id>", jobs.JobView),
    *admin_paths("jobs/<uuid:job_id>/cancel", jobs.JobCancelView),
]
query_urlpatterns: list[Any] = []
shared_urlpatterns: list[Any] = []
