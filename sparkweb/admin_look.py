"""How the admin panel looks (django-unfold's settings): names, colours, navigation."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "SparkWeb",
    "SITE_HEADER": "SparkWeb",
    "SITE_SUBHEADER": "Administration",
    "SITE_SYMBOL": "bolt",
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("img/mark.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/mark.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {
        "primary": {
            "50": "#f2f9e6",
            "100": "#e3f1c8",
            "200": "#c9e497",
            "300": "#a8d15c",
            "400": "#8abc30",
            "500": "#76b900",
            "600": "#5b9000",
            "700": "#466e00",
            "800": "#3a5806",
            "900": "#324b0a",
            "950": "#192a00",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": "Models",
                "items": [
                    {
                        "title": "Definitions",
                        "icon": "deployed_code",
                        "link": reverse_lazy("admin:models_app_modeldefinition_changelist"),
                    },
                    {
                        "title": "Launches",
                        "icon": "rocket_launch",
                        "link": reverse_lazy("admin:models_app_launch_changelist"),
                    },
                    {
                        "title": "Attempts",
                        "icon": "replay",
                        "link": reverse_lazy("admin:models_app_launchattempt_changelist"),
                    },
                    {
                        "title": "Events",
                        "icon": "timeline",
                        "link": reverse_lazy("admin:models_app_launchevent_changelist"),
                    },
                ],
            },
            {
                "title": "Machines",
                "items": [
                    {
                        "title": "Nodes",
                        "icon": "dns",
                        "link": reverse_lazy("admin:metrics_app_node_changelist"),
                    },
                    {
                        "title": "Node keys",
                        "icon": "vpn_key",
                        "link": reverse_lazy("admin:accounts_nodekey_changelist"),
                    },
                ],
            },
            {
                "title": "Access",
                "items": [
                    {
                        "title": "Users",
                        "icon": "group",
                        "link": reverse_lazy("admin:accounts_user_changelist"),
                    },
                    {
                        "title": "API keys",
                        "icon": "key",
                        "link": reverse_lazy("admin:accounts_apikey_changelist"),
                    },
                    {
                        "title": "Audit",
                        "icon": "history",
                        "link": reverse_lazy("admin:accounts_auditentry_changelist"),
                    },
                    {
                        "title": "Wrong passwords",
                        "icon": "lock",
                        "link": reverse_lazy("admin:axes_accessattempt_changelist"),
                    },
                ],
            },
        ],
    },
}
