from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "sparkweb.accounts"
    label = "accounts"
    verbose_name = "Access"
