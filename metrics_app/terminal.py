"""Nodes as lines of text for a terminal. Pure."""

from __future__ import annotations

import re
import shutil
from typing import Any

from metrics_app.alerts.words import figure_words

BOLD, DIM, RED, YELLOW, GREEN, OFF = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
_CODES = re.compile(r"\x1b\[\d+m")
# What a program or container calls itself must not move the cursor.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
STATUS = {"online": GREEN, "stale": YELLOW, "offline": RED, "never": DIM}
LARGEST = 8


def screen(nodes: list[dict[str, Any]], *, width: int = 0, height: int = 0) -> list[str]:
    """Return the lines of a whole screen. Each of `nodes`: name, status, report (or None), age_seconds."""
    size = shutil.get_terminal_size()
    width, height = width or size.columns, height or size.lines
    lines = [line for node in nodes for line in [*node_lines(node, width), ""]]
    if not nodes:
        lines = ["There is no node yet."]
    shown = lines[: max(1, height - 1)]
    if len(lines) > len(shown):
        shown[-1] = f"{DIM}… {len(lines) - len(shown) + 1} more lines{OFF}"
    return [cut(line, width) for line in shown]


def node_lines(node: dict[str, Any], width: int) -> list[str]:
    """The lines of one node."""
    status = node["status"]
    report = node["report"]
    head = f"{BOLD}{clean(node['name'])}{OFF}  {STATUS.get(status, '')}{status}{OFF}"
    if report is None:
        return [head, f"{DIM}no report within the hour{OFF}"]
    host, gpu = report.get("host") or {}, report.get("gpu") or {}
    if status != "online":
        head += f"  {YELLOW}figures are {node['age_seconds']:.0f} s old{OFF}"
    facts = [clean(host.get("hostname")), clean(host.get("kernel")), clean(gpu.get("driver"))]
    lines = [head + f"  {DIM}{' · '.join(filter(None, facts))}{OFF}"]
    lines += _host_lines(host, width)
    for row in report.get("gpus") or []:
        lines.append(_gpu_line(row, width))
    if gpu.get("status") != "ok":
        lines.append(f"{DIM}{clean(gpu.get('message')) or 'no GPU'}{OFF}")
    return lines + _container_lines(report.get("containers") or [])


def _host_lines(host: dict[str, Any], width: int) -> list[str]:
    total, available = host.get("memory_total_bytes"), host.get("memory_available_bytes")
    known = isinstance(total, int) and isinstance(available, int)
    used = total - available if known else None  # type: ignore[operator]
    load = host.get("load")
    first = load[0] if isinstance(load, list) and load else None
    return [
        f"CPU     {bar(host.get('cpu_percent'), width)} {words(host.get('cpu_percent'), 'percent')}"
        f"   load {words(first, '')}",
        f"Memory  {bar(share(used, total), width)} {words(used, 'bytes')} of {words(total, 'bytes')},"
        f" {words(available, 'bytes')} available",
    ]


def _gpu_line(gpu: dict[str, Any], width: int) -> str:
    if gpu.get("state") == "lost":
        return f"{RED}GPU {gpu.get('index')}   lost: the driver does not answer for it{OFF}"
    used = gpu.get("memory_used_bytes")
    memory = used if used is not None else gpu.get("memory_held_bytes")
    total = gpu.get("memory_total_bytes")
    whole = f"of {words(total, 'bytes')}" if total else "held"
    return (
        f"GPU {gpu.get('index')}   {bar(gpu.get('utilization_percent'), width)}"
        f" {words(gpu.get('utilization_percent'), 'percent')}"
        f"   {words(memory, 'bytes')} {whole}"
        f"   {words(gpu.get('power_watts'), 'W')}   {words(gpu.get('temperature_celsius'), '°C')}"
        f"   {words(gpu.get('clock_sm_mhz'), 'MHz')}   {DIM}{clean(gpu.get('name'))}{OFF}"
    )


def _container_lines(containers: list[dict[str, Any]]) -> list[str]:
    running = [one for one in containers if one.get("state") == "running"]
    largest = sorted(running, key=lambda one: -(one.get("memory_bytes") or 0))[:LARGEST]
    return [
        f"  {words(one.get('cpu_percent'), 'percent'):>7}  {words(one.get('memory_bytes'), 'bytes'):>9}  "
        f"{clean(one.get('name'))}  {DIM}{clean(one.get('image'))}{OFF}"
        for one in largest
    ]


def words(value: Any, unit: str) -> str:
    """A figure with its unit, "–" for none."""
    return figure_words(float(value), unit) if _number(value) else "–"


def bar(percent: Any, width: int) -> str:
    """A bar of a tenth to a quarter of the screen; dots where nothing is known."""
    cells = max(10, min(30, width // 5))
    if not _number(percent):
        return DIM + "·" * cells + OFF
    full = round(min(100.0, max(0.0, float(percent))) / 100 * cells)
    colour = RED if percent >= 95 else YELLOW if percent >= 80 else GREEN
    return f"{colour}{'█' * full}{OFF}{DIM}{'░' * (cells - full)}{OFF}"


def share(part: Any, whole: Any) -> float | None:
    return 100 * part / whole if _number(part) and _number(whole) and whole else None


def clean(text: Any) -> str:
    """Text of a node without what could steer a terminal."""
    return _CONTROL.sub("", str(text)) if text is not None else ""


def cut(line: str, width: int) -> str:
    """A line of at most `width` visible characters, colours whole."""
    if len(_CODES.sub("", line)) <= width:
        return line
    kept, visible, at = [], 0, 0
    while at < len(line) and visible < width - 1:
        if code := _CODES.match(line, at):
            kept.append(code[0])
            at = code.end()
            continue
        kept.append(line[at])
        visible += 1
        at += 1
    return "".join(kept) + "…" + OFF


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
