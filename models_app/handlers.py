"""Where models_app joins others: facts and report sections at the intake, and what keeps a node."""

from __future__ import annotations

from metrics_app import node_events, prometheus
from metrics_app import services as nodes
from metrics_app.alerts import events
from metrics_app.energy import ledger
from metrics_app.fabric import services as fabric
from metrics_app.history import figures
from metrics_app.verdicts import sources as verdict_sources
from models_app import guardian_acts, launch_alerts, observing, preflights, storage_observing, webhooks
from models_app.history import launch_events, model_figures, token_growth
from models_app.prometheus import model_families
from models_app.selectors import live_across, live_on_node
from models_app.storage_selectors import storage_uses_of
from models_app.verdict_sources import groups_ready, model_of
from models_app.weights import weights_seen
from sparkweb.node_link import registry
from sparkweb.outbox.services import channel_register


def register() -> None:
    for verb, handler in (observing.FACTS | storage_observing.FACTS).items():
        registry.fact_handler(verb)(handler)
    registry.fact_handler("weights_seen")(weights_seen)
    registry.fact_handler("guardian_acted")(guardian_acts.guardian_acted)
    registry.fact_handler("group_checked")(preflights.group_checked)
    registry.report_handler("launches")(observing.launches_reported)
    registry.report_handler("storage")(storage_observing.storage_reported)
    registry.report_handler("guardian")(guardian_acts.guardian_reported)
    nodes.USES.append(live_on_node)
    fabric.SPANNING.append(live_across)
    events.EVENTS.update(launch_alerts.EVENTS)
    channel_register(webhooks.CHANNEL, webhooks.deliver)
    figures.SOURCES.append(model_figures)
    ledger.TOKEN_SOURCES.append(token_growth)
    node_events.SOURCES.append(launch_events)
    prometheus.SOURCES.append(model_families)
    verdict_sources.GROUP_SOURCES.append(groups_ready)
    verdict_sources.MODEL_SOURCES.append(model_of)
    nodes.USES.append(storage_uses_of)
