from django.apps import AppConfig


class SparkwebConfig(AppConfig):
    name = "sparkweb"
    verbose_name = "SparkWeb"

    def ready(self) -> None:
        from sparkweb import checks, logs

        logs.logs_setup()
        checks.register_all()
