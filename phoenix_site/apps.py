from django.apps import AppConfig


class PhoenixSiteConfig(AppConfig):
    name = "phoenix_site"
    verbose_name = "Phoenix"
