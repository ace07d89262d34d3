"""`/v1/models`: what answers now. No Django here."""

from __future__ import annotations

from typing import Any

import orjson

from chat_app.gateway.errors import GatewayError
from chat_app.gateway.routes import Table


def models_json(table: Table) -> bytes:
    """Return every model that answers now."""
    data = [_model(table, name) for name in sorted(table.upstreams)]
    return orjson.dumps({"object": "list", "data": data})


def model_json(table: Table, name: str) -> bytes:
    """Return one model. Raises GatewayError (404)."""
    if name not in table.upstreams:
        raise GatewayError(404, "model_not_found", f"{name[:80]!r} does not answer now.", "model")
    return orjson.dumps(_model(table, name))


def _model(table: Table, name: str) -> dict[str, Any]:
    first = table.upstreams[name][0]
    return {
        "id": name,
        "object": "model",
        "created": table.created.get(name, 0),
        "owned_by": "sparkweb",
        "max_model_len": first.context,
    }
