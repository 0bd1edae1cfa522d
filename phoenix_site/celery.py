"""The Celery application: consumers of the event log and everything that is slow or timed."""

import ctypes
import os
import signal
import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phoenix_site.settings")

app = Celery("phoenix")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_PR_SET_PDEATHSIG = 1


@setup_logging.connect
def _configure_logging(**_kwargs: Any) -> None:
    """Keep Django's logging instead of Celery's own."""
    import logging.config

    logging.config.dictConfig(settings.LOGGING)


@worker_process_init.connect
def _die_with_the_parent(**_kwargs: Any) -> None:
    """End pool processes whose worker was killed, so that none is left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
