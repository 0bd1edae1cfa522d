from django.urls import path

from tenants.api import schema, views

# Importing the schemes registers them with the description.
__all__ = ["admin_urlpatterns", "schema"]

admin_urlpatterns = [
    path("v1/staff/token", views.StaffTokenView.as_view(), name="staff-token"),
    path("v1/staff/token/refresh", views.StaffTokenRefreshView.as_view(), name="staff-refresh"),
    path("v1/staff/token/revoke", views.StaffTokenRevokeView.as_view(), name="staff-revoke"),
]
