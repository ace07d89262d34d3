from typing import Any

from django.apps import AppConfig
from django.db import transaction
from django.db.models.signals import post_save


class NodeLinkConfig(AppConfig):
    name = "sparkweb.node_link"
    label = "node_link"
    verbose_name = "Node link"

    def ready(self) -> None:
        from sparkweb.accounts.models import NodeKey

        post_save.connect(_node_key_saved, sender=NodeKey, dispatch_uid="node_link.node_key_saved")


def _node_key_saved(**_: Any) -> None:
    from sparkweb.node_link.commands import nodes_changed

    transaction.on_commit(nodes_changed)
