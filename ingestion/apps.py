from django.apps import AppConfig


class IngestionConfig(AppConfig):
    name = "ingestion"
    verbose_name = "Event log"

    def ready(self) -> None:
        from ingestion import checks  # noqa: F401 - importing registers the checks
