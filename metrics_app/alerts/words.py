"""Alerts in sentences. Pure."""

from __future__ import annotations

from metrics_app.history.figures import key_metric, key_subject

_BINARY = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_DECIMAL = (("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3))
_UNITS = {"percent": " %", "W": " W", "°C": " °C", "MHz": " MHz", "/s": " /s", "s": " s", "": ""}


def figure_words(value: float, unit: str) -> str:
    """A figure with its unit as people read it: "12.5 GiB", "87 °C"."""
    steps = _BINARY if unit == "bytes" else _DECIMAL if unit == "bytes/s" else ()
    for name, size in steps:
        if abs(value) >= size:
            return f"{value / size:.1f} {name}"
    if steps:
        return f"{value:.0f} {'B' if unit == 'bytes' else 'B/s'}"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}{_UNITS.get(unit, f' {unit}')}"


def series_words(key: str) -> str:
    """A series as people name it: "GPU 0 temperature", "used on /data", "CPU"."""
    metric, subject = key_metric(key), key_subject(key)
    if metric is None:
        return key
    label = metric.label if metric.label.isupper() else metric.label[:1].lower() + metric.label[1:]
    if metric.scope == "gpu":
        return f"GPU {subject} {label}"
    if not subject:
        return metric.label
    where = {"disk": "on", "network": "on", "container": "of", "model": "of"}.get(metric.scope, "of")
    return f"{metric.label} {where} {subject}"


def fired_words(*, kind: str, key: str, value: float | None, figure: float | None, for_seconds: float) -> str:
    """Why an alert fires, without the node's name."""
    metric = key_metric(key)
    unit = metric.unit if metric else ""
    what, lasting = series_words(key), f" for {for_seconds:.0f} s" if for_seconds else ""
    if kind == "absent":
        return f"{what} is not told any more{lasting}"
    now = "" if figure is None else f" is {figure_words(figure, unit)}"
    edge = figure_words(value or 0.0, unit)
    if kind == "rising":
        rate = "" if figure is None else f" rises by {figure_words(figure, unit)} a second"
        return f"{what}{rate}, more than {edge} a second{lasting}"
    return f"{what}{now}, {kind} {edge}{lasting}"
