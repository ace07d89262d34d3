from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SandboxConfig(AppConfig):
    name = "sandbox_app"
    verbose_name = "Sandbox"

    def ready(self) -> None:
        from sandbox_app import audit_triggers, handlers

        handlers.register()
        post_migrate.connect(audit_triggers.after_migrate, sender=self)
