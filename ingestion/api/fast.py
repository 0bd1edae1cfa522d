"""The hot paths of the ingestion gateway on the slim handler."""

from typing import Any

urlpatterns: list[Any] = []
