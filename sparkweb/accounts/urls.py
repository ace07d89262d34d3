from django.contrib.auth.views import LogoutView
from django.urls import path

from sparkweb.accounts import views, views_audit

urlpatterns = [
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/password/", views.PasswordChange.as_view(), name="password_change"),
    path("account/keys/", views.api_keys, name="api_keys"),
    path("account/keys/<int:pk>/revoke/", views.api_key_revoke_view, name="api_key_revoke"),
    path("audit/", views_audit.audit, name="audit"),
]
