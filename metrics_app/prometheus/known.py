"""Names that existing dashboards know: dcgm-exporter's and node_exporter's, from our reports.

Sources: NVIDIA/dcgm-exporter etc/default-counters.csv, prometheus/node_exporter. What a report does not
have is left out.
"""

from __future__ import annotations

from metrics_app.prometheus.page import Families, Labels, NodeView

MIB = 1 / 2**20
MILLI = 1000
CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
DISK_COUNTERS = {
    "reads_completed": "Reads completed.",
    "read_bytes": "Bytes read.",
    "read_time_seconds": "Seconds spent by all reads.",
    "writes_completed": "Writes completed.",
    "written_bytes": "Bytes written.",
    "write_time_seconds": "Seconds spent by all writes.",
    "io_time_seconds": "Seconds in which anything was read or written.",
}
LINK_COUNTERS = {
    f"{direction}_{what}": f"Network device statistic {direction}_{what}."
    for direction in ("receive", "transmit")
    for what in ("bytes", "packets", "errs", "drop")
}


def families_known(nodes: list[NodeView]) -> Families:
    """Return the figures of nodes under the names of dcgm-exporter and node_exporter."""
    families = Families()
    for node in nodes:
        if node.report:
            for gpu in node.gpus:
                _dcgm(families, gpu, node)
            _node_exporter(families, node)
            _counters(families, node.report.get("counters"), {"nodename": node.name})
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
    total, used = host.get("swap_total_bytes"), host.get("swap_used_bytes")
    free = total - used if isinstance(total, int) and isinstance(used, int) else None
    families.gauge("node_memory_SwapFree_bytes", "Memory information field SwapFree_bytes.", free, instance)
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


def _counters(families: Families, counters: object, instance: Labels) -> None:
    """What node_exporter counts since boot; an older agent reports none of it."""
    if not isinstance(counters, dict):
        return
    cores = counters.get("cpu_seconds")
    for core, seconds in enumerate(cores if isinstance(cores, list) else []):
        for mode, spent in zip(CPU_MODES, seconds if isinstance(seconds, list) else [], strict=False):
            labels = instance | {"cpu": str(core), "mode": mode}
            text = "Seconds the CPUs spent in each mode."
            families.counter("node_cpu_seconds", text, spent, labels)
    switches = counters.get("context_switches")
    families.counter("node_context_switches", "Total number of context switches.", switches, instance)
    booted = counters.get("booted_at")
    families.gauge("node_boot_time_seconds", "Node boot time, in unixtime.", booted, instance)
    _device_counters(families, "node_disk", DISK_COUNTERS, counters.get("disks"), instance)
    _device_counters(families, "node_network", LINK_COUNTERS, counters.get("networks"), instance)


def _device_counters(
    families: Families, prefix: str, texts: dict[str, str], devices: object, instance: Labels
) -> None:
    for device, counted in devices.items() if isinstance(devices, dict) else ():
        labels = instance | {"device": str(device)}
        for name, text in texts.items():
            value = counted.get(name) if isinstance(counted, dict) else None
            families.counter(f"{prefix}_{name}", text, value, labels)
