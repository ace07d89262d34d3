from django.urls import path

from sandbox_app import views_session_node

urlpatterns = [
    path("node/session-files/body/", views_session_node.node_session_body, name="node_session_body"),
    path("node/session-files/answer/", views_session_node.node_session_answer, name="node_session_answer"),
]
