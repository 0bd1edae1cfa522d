"""Deleting everything that an app keeps of one tenant, for sandboxes only."""

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import ForeignKey, Model

from phoenix_site.common.exceptions import NotAllowedError

__all__ = ["empty_app", "path_to_tenant"]

_MOST_STEPS = 4
_MAY = "SELECT usesuper FROM pg_user WHERE usename = current_user"
# As a replica no trigger runs: neither foreign keys nor those that keep history fixed.
_BEGIN = "SET LOCAL session_replication_role = replica"
_END = "SET LOCAL session_replication_role = origin"


@transaction.atomic
def empty_app(app_label: str, tenant_id: str) -> None:
    """Delete all rows of the app that belong to the tenant, also those that nothing else deletes.

    Rows without a tenant of their own are found through what they refer to.

    Raises: ``NotAllowedError`` in production, and where the database's user may not do so: only a
    superuser can go past the triggers that keep the ledger and all history.
    """
    if settings.PHOENIX_ENV == "prod":
        raise NotAllowedError("Nothing is emptied in production.")
    paths = {
        model: path
        for model in apps.get_app_config(app_label).get_models()
        if (path := path_to_tenant(model))
    }
    with connection.cursor() as cursor:
        cursor.execute(_MAY)
        if not cursor.fetchone()[0]:
            raise NotAllowedError("Only a superuser of the database may empty a ledger.")
        cursor.execute(_BEGIN)
        # Whatever is found through another row goes before that row.
        for model, path in sorted(paths.items(), key=lambda found: -found[1].count("__")):
            rows = model._default_manager.filter(**{path: tenant_id})
            rows._raw_delete(rows.db)  # noqa: SLF001 - no collector: it would load everything
        cursor.execute(_END)


def path_to_tenant(model: type[Model]) -> str:
    """Return the shortest path of keys from the model to a tenant, empty if there is none."""
    reached: list[tuple[str, type[Model]]] = [("", model)]
    for _step in range(_MOST_STEPS):
        further: list[tuple[str, type[Model]]] = []
        for path, at in reached:
            for name, related in _keys(at):
                if name == "tenant":
                    return f"{path}tenant"
                further.append((f"{path}{name}__", related))
        reached = further
    return ""


def _keys(model: type[Model]) -> Iterator[tuple[str, type[Model]]]:
    for field in model._meta.get_fields():
        related = getattr(field, "related_model", None)
        if isinstance(field, ForeignKey) and isinstance(related, type) and related is not model:
            yield field.name, related
