from django.urls import re_path

from chat_app import api_limits, api_usage

urlpatterns = [
    re_path(r"^usage/?$", api_usage.Usage.as_view(), name="api_usage"),
    re_path(r"^usage/limits/?$", api_limits.UsageLimits.as_view(), name="api_usage_limits"),
    re_path(r"^usage/export/?$", api_usage.UsageExport.as_view(), name="api_usage_export"),
]
