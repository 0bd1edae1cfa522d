"""The admin alone, so that these tests need no other app's paths."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
