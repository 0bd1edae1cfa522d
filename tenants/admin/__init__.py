"""Admin pages of this app; Django finds them here."""

from tenants.admin import audit, credentials, login, staff, tenants

__all__ = ["audit", "credentials", "login", "staff", "tenants"]
