from django.apps import AppConfig


class SandboxConfig(AppConfig):
    name = "sandbox_app"
    verbose_name = "Sandbox"

    def ready(self) -> None:
        from sandbox_app import handlers

        handlers.register()
