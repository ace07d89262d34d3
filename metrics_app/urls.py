from django.urls import path, re_path

from metrics_app import views, views_history
from metrics_app.views_prometheus import Scrape, ScrapeKnown

urlpatterns = [
    re_path(r"^metrics/?$", Scrape.as_view(), name="scrape"),
    re_path(r"^metrics/known/?$", ScrapeKnown.as_view(), name="scrape_known"),
    path("", views.dashboard, name="dashboard"),
    path("nodes/", views.nodes, name="nodes"),
    path("node-new/", views.node_new, name="node_new"),
    path("nodes/<str:name>/", views.node, name="node"),
    path("nodes/<str:name>/history/", views_history.node_history, name="node_history"),
]
