from django.apps import AppConfig


class PhoenixSiteConfig(AppConfig):
    name = "phoenix_site"
    verbose_name = "Phoenix"

    def ready(self) -> None:
        # Processes that run no tasks send some: without this they would look for another broker.
        from phoenix_site import celery

        celery.app.set_default()
