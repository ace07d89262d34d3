"""The guarded client as this installation's settings make it."""

from __future__ import annotations

from urllib.parse import urlsplit

from sparkweb import config
from sparkweb.adapters.egress import Egress
from sparkweb.adapters.egress_rules import EgressPolicy, policy_make
from sparkweb.env import EnvironmentInvalid


def egress_policy() -> EgressPolicy:
    """What SPARKWEB_EGRESS_* say. Raises EnvironmentInvalid, which names the variable."""
    parts = {
        "ports": ("SPARKWEB_EGRESS_PORTS", config.EGRESS_PORTS),
        "allow": ("SPARKWEB_EGRESS_ALLOW", config.EGRESS_ALLOW),
        "deny": ("SPARKWEB_EGRESS_DENY", config.EGRESS_DENY),
        "networks": ("SPARKWEB_EGRESS_NETWORKS", config.EGRESS_NETWORKS),
    }
    for part, (name, words) in parts.items():
        try:
            policy_make(**{part: words})
        except ValueError as error:
            raise EnvironmentInvalid(f"{name}: {error}") from None
    return policy_make(**{part: words for part, (_, words) in parts.items()})


def egress_make() -> Egress:
    """A client of this installation; SparkWeb's own address is out of its reach."""
    own = {config.HOST, urlsplit(config.WEB_URL).hostname or ""}
    return Egress(egress_policy(), sorted(host for host in own if host not in ("", "0.0.0.0", "::")))  # noqa: S104
