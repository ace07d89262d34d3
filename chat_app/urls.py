from django.urls import path

from chat_app import views_usage

urlpatterns = [
    path("usage/", views_usage.usage, name="usage"),
    path("usage/export/", views_usage.usage_export, name="usage_export"),
]
