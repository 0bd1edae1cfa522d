"""The Celery application: consumers of the event log and everything that is slow or timed."""

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phoenix_site.settings")

app = Celery("phoenix")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _configure_logging(**_kwargs: Any) -> None:
    """Keep Django's logging instead of Celery's own."""
    logging.config.dictConfig(settings.LOGGING)
