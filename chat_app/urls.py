from django.urls import path

from chat_app import views_limits, views_usage

urlpatterns = [
    path("usage/", views_usage.usage, name="usage"),
    path("usage/limits/", views_limits.usage_limits, name="usage_limits"),
    path("usage/export/", views_usage.usage_export, name="usage_export"),
]
