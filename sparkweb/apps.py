import logging

from django.apps import AppConfig


class SparkwebConfig(AppConfig):
    name = "sparkweb"
    verbose_name = "SparkWeb"

    def ready(self) -> None:
        from sparkweb import checks, logs
        from sparkweb.exceptions import away_in_one_line

        logs.logs_setup()
        logging.getLogger("django.request").addFilter(away_in_one_line)
        checks.register_all()
