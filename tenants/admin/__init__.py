"""Admin pages of this app; Django finds them here."""

from tenants.admin import audit, credentials, deliveries, login, staff, tenants

__all__ = ["audit", "credentials", "deliveries", "login", "staff", "tenants"]
