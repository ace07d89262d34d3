"""Names that existing dashboards know: dcgm-exporter's and node_exporter's, from our reports.

Sources: NVIDIA/dcgm-exporter etc/default-counters.csv, prometheus/node_exporter. What a report does not
have is left out: node_exporter's counters of bytes and seconds are no part of it.
"""

from __future__ import annotations

from metrics_app.prometheus.page import Families, NodeView

MIB = 1 / 2**20
MILLI = 1000


def families_known(nodes: list[NodeView]) -> Families:
    """Return the figures of nodes under the names of dcgm-exporter and node_exporter."""
    families = Families()
    for node in nodes:
        if node.report:
            for gpu in node.gpus:
                _dcgm(families, gpu, node)
            _node_exporter(families, node)
    return families


def _dcgm(families: Families, gpu: dict[str, object], node: NodeView) -> None:
    index = str(gpu.get("index"))
    labels = {
        "gpu": index,
        "UUID": str(gpu.get("uuid") or ""),
        "device": f"nvidia{index}",
        "modelName": str(gpu.get("name") or ""),
        "Hostname": str(node.host.get("hostname") or node.name),
    }
    total, used = gpu.get("memory_total_bytes"), gpu.get("memory_used_bytes")
    free = total - used if isinstance(total, int) and isinstance(used, int) else None
    for name, text, value, scale in (
        ("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", gpu.get("utilization_percent"), 1),
        ("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", gpu.get("temperature_celsius"), 1),
        ("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", gpu.get("clock_sm_mhz"), 1),
        ("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", gpu.get("clock_memory_mhz"), 1),
        ("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", gpu.get("power_watts"), 1),
        ("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", used, MIB),
        ("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", free, MIB),
    ):
        families.gauge(name, text, value, labels, scale)
    families.gauge(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "Total energy consumption since boot (in mJ).",
        gpu.get("energy_joules"),
        labels,
        MILLI,
    )


def _node_exporter(families: Families, node: NodeView) -> None:
    host, instance = node.host, {"nodename": node.name}
    for minutes, value in zip(("1", "5", "15"), host.get("load") or [], strict=False):
        families.gauge(f"node_load{minutes}", f"{minutes}m load average.", value, instance)
    for name, field in (
        ("MemTotal", "memory_total_bytes"),
        ("MemAvailable", "memory_available_bytes"),
        ("MemFree", "memory_free_bytes"),
        ("SwapTotal", "swap_total_bytes"),
    ):
        families.gauge(
            f"node_memory_{name}_bytes", f"Memory information field {name}_bytes.", host.get(field), instance
        )
    for disk in host.get("disks") or []:
        labels = instance | {"device": str(disk.get("device")), "mountpoint": str(disk.get("mount"))}
        families.gauge(
            "node_filesystem_size_bytes", "Filesystem size in bytes.", disk.get("total_bytes"), labels
        )
        families.gauge(
            "node_filesystem_avail_bytes", "Filesystem space available.", disk.get("free_bytes"), labels
        )
    for link in host.get("networks") or []:
        labels = instance | {"device": str(link.get("name"))}
        families.gauge("node_network_up", "1 if operstate is up.", int(bool(link.get("up"))), labels)
        families.gauge(
            "node_network_speed_bytes", "Speed of the link.", link.get("speed_mbps"), labels, 125_000
        )
