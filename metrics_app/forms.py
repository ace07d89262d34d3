"""Forms about nodes."""

from __future__ import annotations

from django import forms

from metrics_app.models import Node


class NodeForm(forms.ModelForm):
    """A node that an admin adds by hand; its agent brings the rest."""

    class Meta:
        model = Node
        fields = [
            "name",
            "label",
            "role",
            "lan_address",
            "fabric_address",
            "fabric_twin_address",
            "fabric_interface",
        ]
        widgets = {
            name: forms.TextInput(attrs={"class": "form-control", "placeholder": example})
            for name, example in {
                "name": "spark-2",
                "label": "Spark 2",
                "role": "secondary",
                "lan_address": "192.168.1.49",
                "fabric_address": "192.168.100.11",
                "fabric_twin_address": "192.168.101.11",
                "fabric_interface": "enp1s0f1np1",
            }.items()
        }
