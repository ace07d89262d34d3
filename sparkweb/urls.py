from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from sparkweb.api import Docs, Schema
from sparkweb.views import health

urlpatterns = [
    re_path(r"^health/?$", health, name="health"),
    path("", include("sparkweb.accounts.urls")),
    path("", include("metrics_app.urls")),
    path("", include("models_app.urls")),
    path("", include("sandbox_app.urls_sessions")),
    path("", include("sandbox_app.urls")),
    path("", include("chat_app.urls")),
    path("", include("transcripts_app.urls_intake")),
    path("", include("transcripts_app.urls_export")),
    path("", include("transcripts_app.urls_figures")),
    path("", include("transcripts_app.urls")),
    re_path(r"^api/schema/?$", Schema.as_view(), name="schema"),
    re_path(r"^api/docs/?$", Docs.as_view(), name="api_docs"),
    path("api/", include("sparkweb.accounts.urls_api")),
    path("api/", include("metrics_app.urls_api")),
    path("api/", include("models_app.urls_api")),
    path("api/", include("sandbox_app.urls_api_sessions")),
    path("api/", include("sandbox_app.urls_api")),
    path("api/", include("chat_app.urls_api")),
    path("api/", include("transcripts_app.urls_api_intake")),
    path("api/", include("transcripts_app.urls_api_export")),
    path("api/", include("transcripts_app.urls_api_figures")),
    path("api/", include("transcripts_app.urls_api")),
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),
    path("admin/", admin.site.urls),
]
handler400 = "sparkweb.views.bad_request"
handler403 = "sparkweb.views.permission_denied"
handler404 = "sparkweb.views.page_not_found"
handler500 = "sparkweb.views.server_error"
