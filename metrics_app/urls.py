from django.urls import path

from metrics_app import views, views_history

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("nodes/", views.nodes, name="nodes"),
    path("node-new/", views.node_new, name="node_new"),
    path("nodes/<str:name>/", views.node, name="node"),
    path("nodes/<str:name>/history/", views_history.node_history, name="node_history"),
]
