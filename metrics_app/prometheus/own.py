"""Our own names, by the conventions of prometheus.io: base units, ratios 0 to 1, `_total` for counters."""

from __future__ import annotations

from metrics_app.prometheus.page import Families, Labels, NodeView

MHZ = 1e6
PERCENT = 0.01


def families_own(nodes: list[NodeView]) -> Families:
    """Return what our page says of nodes; of one that is not fresh only that it is down."""
    families = Families()
    for node in nodes:
        labels = {"node": node.name}
        families.gauge(
            "sparkweb_node_up", "1 if the node reports, else 0.", int(node.status == "online"), labels
        )
        if node.report:
            _host(families, node, labels)
            _verdicts(families, node, labels)
            for gpu in node.gpus:
                _gpu(
                    families, gpu, labels | {"gpu": str(gpu.get("index")), "uuid": str(gpu.get("uuid") or "")}
                )
            for container in node.report.get("containers") or []:
                _container(families, container, labels | {"container": str(container.get("name"))})
    return families


def _host(families: Families, node: NodeView, labels: Labels) -> None:
    host, gpu, agent = node.host, node.report.get("gpu") or {}, node.report.get("agent") or {}
    facts = {"version": agent.get("version"), "driver": gpu.get("driver"), "cuda": gpu.get("cuda")}
    facts |= {"kernel": host.get("kernel"), "architecture": host.get("architecture")}
    families.info("sparkweb_node", "What runs on the node.", facts, labels)
    families.counter(
        "sparkweb_gpu_driver_reloads",
        "Times that the driver or a card came back since the agent began.",
        gpu.get("reloads"),
        labels,
    )
    families.gauge(
        "sparkweb_host_cpu_ratio", "Time all cores were busy.", host.get("cpu_percent"), labels, PERCENT
    )
    for minutes, value in zip(("1", "5", "15"), host.get("load") or [], strict=False):
        families.gauge(f"sparkweb_host_load{minutes}", f"Load over {minutes} min.", value, labels)
    for name, text in (
        ("memory_total_bytes", "Memory of the machine."),
        ("memory_available_bytes", "Memory that a new program could have (MemAvailable)."),
        ("memory_used_bytes", "Total less available."),
        ("memory_reclaimable_bytes", "Page cache and slab that can be taken back."),
        ("swap_total_bytes", "Swap space."),
        ("swap_used_bytes", "Swap in use."),
        ("temperature_celsius", "Temperature of the processor."),
        ("uptime_seconds", "Seconds since the machine booted."),
        ("swap_in_bytes_per_second", "Read from swap now."),
        ("swap_out_bytes_per_second", "Written to swap now."),
    ):
        families.gauge(f"sparkweb_host_{name}", text, host.get(name), labels)
    _pressure(families, host.get("pressure"), labels)
    for sensor in host.get("sensors") or []:
        families.gauge(
            "sparkweb_sensor_temperature_celsius", "Each sensor of the machine.", sensor.get("celsius"),
            labels | {"sensor": str(sensor.get("name"))},
        )  # fmt: skip
    for disk in host.get("disks") or []:
        _disk(families, disk, labels | {"mount": str(disk.get("mount")), "device": str(disk.get("device"))})
    for link in host.get("networks") or []:
        _link(families, link, labels | {"interface": str(link.get("name"))})
    sampler = node.report.get("sampler") or {}
    families.gauge(
        "sparkweb_sampler_cpu_ratio", "The sampler's own share of one core.", sampler.get("cost_cpu_percent"),
        labels, PERCENT,
    )  # fmt: skip


def _verdicts(families: Families, node: NodeView, labels: Labels) -> None:
    for kind in sorted({str(verdict["kind"]) for verdict in node.verdicts.get("found") or []}):
        families.gauge(
            "sparkweb_verdict", "1 while a verdict of this kind stands.", 1, labels | {"kind": kind}
        )
    seconds = node.verdicts.get("exhausted_in_seconds")
    families.gauge(
        "sparkweb_memory_exhausted_seconds", "Until no memory is left, while it falls.", seconds, labels
    )


def _pressure(families: Families, pressure: object, labels: Labels) -> None:
    for resource, stalls in pressure.items() if isinstance(pressure, dict) else ():
        for kind in ("some", "full"):
            share = stalls.get(f"{kind}_percent") if isinstance(stalls, dict) else None
            told = labels | {"resource": str(resource), "kind": kind}
            text = "Time of the last 10 s in which tasks waited."
            families.gauge("sparkweb_host_pressure_ratio", text, share, told, PERCENT)


def _disk(families: Families, disk: dict[str, object], labels: Labels) -> None:
    for name, text in (
        ("total_bytes", "Size of the file system."),
        ("used_bytes", "In use."),
        ("free_bytes", "Free for everyone."),
        ("read_bytes_per_second", "Read now."),
        ("write_bytes_per_second", "Written now."),
    ):
        families.gauge(f"sparkweb_disk_{name}", text, disk.get(name), labels)


def _link(families: Families, link: dict[str, object], labels: Labels) -> None:
    up = link.get("up")
    families.gauge(
        "sparkweb_network_up", "1 if the link is up.", None if up is None else int(bool(up)), labels
    )
    families.gauge(
        "sparkweb_network_speed_bytes",
        "Speed of the link per second.",
        link.get("speed_mbps"),
        labels,
        125_000,
    )
    for name, text in (("receive", "Received now."), ("transmit", "Sent now.")):
        field = f"{name}_bytes_per_second"
        families.gauge(f"sparkweb_network_{field}", text, link.get(field), labels)


def _gpu(families: Families, gpu: dict[str, object], labels: Labels) -> None:
    families.info("sparkweb_gpu", "The card.", {"model": gpu.get("name")}, labels)
    state = gpu.get("state")
    families.gauge(
        "sparkweb_gpu_up",
        "0 if the driver lost the card.",
        None if state is None else int(state == "ok"),
        labels,
    )
    for name, text, field, scale in (
        ("utilization_ratio", "Time the GPU was busy.", "utilization_percent", PERCENT),
        ("memory_used_bytes", "Memory in use, where the driver tells.", "memory_used_bytes", 1),
        ("memory_total_bytes", "Memory of the card, where it has its own.", "memory_total_bytes", 1),
        ("memory_held_bytes", "Memory that its processes hold.", "memory_held_bytes", 1),
        ("power_watts", "Power drawn.", "power_watts", 1),
        ("power_limit_watts", "Power limit.", "power_limit_watts", 1),
        ("temperature_celsius", "Temperature.", "temperature_celsius", 1),
        ("clock_sm_hertz", "Clock of the multiprocessors.", "clock_sm_mhz", MHZ),
        ("clock_memory_hertz", "Clock of the memory.", "clock_memory_mhz", MHZ),
        ("fan_ratio", "Speed of the fan.", "fan_percent", PERCENT),
        ("performance_state", "P-state: 0 is fastest.", "performance_state", 1),
    ):
        families.gauge(f"sparkweb_gpu_{name}", text, gpu.get(field), labels, scale)
    families.counter(
        "sparkweb_gpu_energy_joules", "Energy since the driver loaded.", gpu.get("energy_joules"), labels
    )
    for kind in ("corrected", "uncorrected"):
        errors = gpu.get(f"ecc_{kind}_total")
        families.counter(
            "sparkweb_gpu_ecc_errors",
            "Memory errors since the driver loaded.",
            errors,
            labels | {"kind": kind},
        )
    reasons = gpu.get("throttle_reasons")
    for reason in reasons if isinstance(reasons, list) else []:
        families.gauge(
            "sparkweb_gpu_throttle", "1 while this holds the clock down.", 1, labels | {"reason": str(reason)}
        )


def _container(families: Families, container: dict[str, object], labels: Labels) -> None:
    families.gauge(
        "sparkweb_container_cpu_ratio", "Cores in use.", container.get("cpu_percent"), labels, PERCENT
    )
    families.gauge(
        "sparkweb_container_memory_bytes", "Memory without page cache.", container.get("memory_bytes"), labels
    )
    for name, text in (
        ("io_read_bytes_per_second", "Read from disks now."),
        ("io_write_bytes_per_second", "Written to disks now."),
        ("pids", "Tasks."),
    ):
        families.gauge(f"sparkweb_container_{name}", text, container.get(name), labels)
