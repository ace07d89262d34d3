"""What is the matter with a node now, by its newest reading and the last minutes. Pure.

Each judge knows which of its verdicts stand already (`active`), and asks less of those: a figure
that swings around a threshold makes one verdict, not a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from metrics_app.alerts.words import figure_words
from metrics_app.verdicts.kinds import (
    Evidence,
    Finding,
    Place,
    Severity,
    evidence_of,
    names_words,
    span_words,
)
from metrics_app.verdicts.reading import Gpu, Process, Reading
from metrics_app.verdicts.window import Window

GIB = 2.0**30
MIB = 2.0**20
Judge = Callable[[Reading, Window, frozenset[Place]], Iterator[Finding]]

# Of the slopes of the half minute and of the last seconds the gentler counts: a program that allocates
# much at once (vLLM its KV cache) and then no more exhausts nothing.
SLOPE_SPAN_SECONDS, SLOPE_NOW_SECONDS = 10.0, 5.0
SLOPE_BYTES = 20 * MIB
EXHAUSTED_SECONDS, EXHAUSTED_STAY_SECONDS, EXHAUSTED_CRITICAL_SECONDS = 60.0, 120.0, 30.0

# GB10 under load runs at 2,000 to 3,003 MHz and 40 W and more; stuck it shows 500 to 850 MHz at 15 to
# 18 W while "busy" (reference: parallelArchitect/spark-gpu-throttle-check; sparkview: below 1,400 MHz).
WEDGE_BUSY_PERCENT, WEDGE_STAY_PERCENT = 80.0, 50.0
WEDGE_MHZ, WEDGE_FOR_MAX_MHZ, WEDGE_SHARE = 1_400.0, 2_000.0, 0.5
WEDGE_WATTS, WEDGE_WATTS_SHARE, WEDGE_LOOSE = 30.0, 0.3, 1.15

HEAT = {"hardware_thermal", "software_thermal"}
POWER = {"power_cap", "power_brake"}
HOT_CELSIUS, HOT_STAY_CELSIUS, HOT_CLOCK_SHARE = 90.0, 86.0, 0.8

UNCLAIMED_BYTES = 2 * GIB
PRESSURE_SOME, PRESSURE_FULL, SWAP_BYTES = 20.0, 5.0, 20e6
IO_FULL = 50.0
LOOSE = 0.5  # a verdict stands until the figure is below half of what began it

DISK_FULL, DISK_FULL_STAY, DISK_CRITICAL = 95.0, 94.0, 98.0
FILLING_SPAN_SECONDS, FILLING_SECONDS, FILLING_STAY_SECONDS = 300.0, 6 * 3_600.0, 8 * 3_600.0
FILLING_SOON_SECONDS = 3_600.0

COST_PERCENT, COST_LATE_SECONDS, COST_SPAN_SECONDS = 10.0, 0.5, 30.0


def memory_exhaustion(reading: Reading, window: Window, active: frozenset[Place]) -> Iterator[Finding]:
    seconds, slope = exhausted_in(reading, window), _falls(window)
    limit = EXHAUSTED_STAY_SECONDS if ("memory_exhaustion", "") in active else EXHAUSTED_SECONDS
    if seconds is None or slope is None or seconds > limit:
        return
    available = reading.memory_available or 0.0
    falls = figure_words(-slope, "bytes")
    yield Finding(
        "memory_exhaustion",
        "",
        Severity.CRITICAL if seconds <= EXHAUSTED_CRITICAL_SECONDS else Severity.WARNING,
        f"Memory runs out in {span_words(seconds)}",
        f"{figure_words(available, 'bytes')} are available and {falls} go each second: at this pace nothing "
        f"is left in {span_words(seconds)}. Stop what grows, or the memory guardian will have to.",
        evidence_of(
            ("Available", available, "bytes"),
            ("Change per second", slope, "bytes"),
            ("Total", reading.memory_total, "bytes"),
        ),
    )


def exhausted_in(reading: Reading, window: Window) -> float | None:
    """Seconds until MemAvailable is 0 at the present slope; None while it does not fall."""
    slope = _falls(window)
    if reading.memory_available is None or slope is None:
        return None
    return reading.memory_available / -slope


def _falls(window: Window) -> float | None:
    """The change of MemAvailable in bytes per second while it falls by much, else None."""
    slopes = window.available.slope(), window.available.slope(SLOPE_NOW_SECONDS)
    if slopes[0] is None or slopes[1] is None or window.available.span < SLOPE_SPAN_SECONDS:
        return None
    slope = max(slopes[0], slopes[1])
    return slope if slope < -SLOPE_BYTES else None


def gpu_wedge(reading: Reading, _window: Window, active: frozenset[Place]) -> Iterator[Finding]:
    for gpu in reading.gpus:
        stays = ("gpu_wedge", gpu.index) in active
        if gpu.utilization is None or gpu.clock is None or set(gpu.reasons or ()) & HEAT:
            continue
        busy = gpu.utilization >= (WEDGE_STAY_PERCENT if stays else WEDGE_BUSY_PERCENT)
        loose = WEDGE_LOOSE if stays else 1.0
        if busy and gpu.clock < _low_clock(gpu) * loose and _low_power(gpu, loose):
            yield _wedged(gpu)


def _low_clock(gpu: Gpu) -> float:
    if gpu.clock_max is None:
        return WEDGE_MHZ
    half = gpu.clock_max * WEDGE_SHARE
    return max(half, WEDGE_MHZ) if gpu.clock_max >= WEDGE_FOR_MAX_MHZ else half


def _low_power(gpu: Gpu, loose: float) -> bool:
    """Whether it draws next to nothing; a card that does not tell is judged by its clock alone."""
    limit = gpu.power_limit * WEDGE_WATTS_SHARE if gpu.power_limit else WEDGE_WATTS
    return gpu.power is None or gpu.power < limit * loose


def _wedged(gpu: Gpu) -> Finding:
    clock, drawn = figure_words(gpu.clock or 0.0, "MHz"), figure_words(gpu.power or 0.0, "W")
    watts = f" and draws {drawn}" if gpu.power is not None else ""
    return Finding(
        "gpu_wedge",
        gpu.index,
        Severity.CRITICAL,
        f"GPU {gpu.index} is stuck at {clock}",
        f"{gpu.name} is {gpu.utilization:.0f} % busy but runs at {clock}{watts}. Such a card recovers "
        "only without power: shut the machine down, unplug it for a minute, and start it again.",
        evidence_of(
            ("Utilisation", gpu.utilization, "percent"),
            ("SM clock", gpu.clock, "MHz"),
            ("Highest clock", gpu.clock_max, "MHz"),
            ("Power", gpu.power, "W"),
            ("Temperature", gpu.temperature, "°C"),
        ),
    )


def gpu_throttled(reading: Reading, _window: Window, active: frozenset[Place]) -> Iterator[Finding]:
    for gpu in reading.gpus:
        found = _throttle(gpu, ("gpu_throttled", gpu.index) in active)
        if found is None:
            continue
        severity, cause, advice = found
        yield Finding(
            "gpu_throttled",
            gpu.index,
            severity,
            f"GPU {gpu.index} is held back by {cause}",
            f"{gpu.name} lowers its clock because of {cause}. {advice}",
            evidence_of(
                ("Temperature", gpu.temperature, "°C"),
                ("SM clock", gpu.clock, "MHz"),
                ("Highest clock", gpu.clock_max, "MHz"),
                ("Power", gpu.power, "W"),
                ("Power limit", gpu.power_limit, "W"),
            ),
        )


def _throttle(gpu: Gpu, stays: bool) -> tuple[Severity, str, str] | None:
    """Severity, cause, advice. A card at its power limit under load is as it should be: told, no warning."""
    reasons = set(gpu.reasons or ())
    if reasons & HEAT or _hot(gpu, stays):
        return Severity.WARNING, "heat", "Let it have more air: what stands around it, dust, the fan."
    if "power_brake" in reasons:
        return Severity.WARNING, "its power supply", "Check the supply and its cable."
    if "hardware_slowdown" in reasons:
        return Severity.WARNING, "the hardware", "Heat or the power supply; check both."
    if "power_cap" in reasons:
        return Severity.INFO, "its power limit", "That is usual under full load."
    return None


def _hot(gpu: Gpu, stays: bool) -> bool:
    """Whether heat is likely although the driver gives no reasons."""
    if gpu.reasons is not None or gpu.temperature is None or not gpu.clock or not gpu.clock_max:
        return False
    hot = gpu.temperature >= (HOT_STAY_CELSIUS if stays else HOT_CELSIUS)
    return (
        hot and gpu.clock < gpu.clock_max * HOT_CLOCK_SHARE and (gpu.utilization or 0) >= WEDGE_STAY_PERCENT
    )


def orphaned_memory(reading: Reading, _window: Window, _active: frozenset[Place]) -> Iterator[Finding]:
    """While Docker is away nothing is claimed; nor of host processes while scripts of ours run."""
    if reading.containers is None:
        return
    running = {one.id for one in reading.containers if one.runs}
    held = [process for gpu in reading.gpus if gpu.processes_known for process in gpu.processes]
    gone = [one for one in held if one.container_id and one.container_id not in running]
    if sum(one.memory_bytes for one in gone):
        yield _orphans("gone", Severity.WARNING, gone, "whose container is gone")
    outside = [one for one in held if one.container_id is None and one.memory_bytes >= UNCLAIMED_BYTES]
    if outside and not reading.scripts_run:
        yield _orphans("outside", Severity.INFO, outside, "that no container and no model of SparkWeb claims")


def _orphans(subject: str, severity: Severity, found: list[Process], why: str) -> Finding:
    total = sum(one.memory_bytes for one in found)
    one = len(found) == 1
    names = names_words(f"{process.name} (pid {process.pid})" for process in found)
    return Finding(
        "orphaned_memory",
        subject,
        severity,
        f"{figure_words(total, 'bytes')} of GPU memory {'orphaned' if subject == 'gone' else 'held outside'}",
        f"{len(found)} process{'' if one else 'es'} {why} hold{'s' if one else ''} "
        f"{figure_words(total, 'bytes')}: {names}. If nobody needs {'it' if one else 'them'}, end "
        f"{'it' if one else 'them'} by pid.",
        tuple(Evidence(f"{one.name}, pid {one.pid}", one.memory_bytes, "bytes") for one in found[:5]),
    )


def memory_pressure(reading: Reading, _window: Window, active: frozenset[Place]) -> Iterator[Finding]:
    stalls, loose = reading.stalls, LOOSE if ("memory_pressure", "") in active else 1.0
    some, full, traffic = stalls.memory_some, stalls.memory_full, stalls.swap_traffic
    waits = (some or 0) >= PRESSURE_SOME * loose or (full or 0) >= PRESSURE_FULL * loose
    swaps = (traffic or 0) >= SWAP_BYTES * loose
    if not waits and not swaps:
        return
    parts = []
    if waits:
        parts.append(f"programs waited for memory in {max(some or 0, full or 0):.0f} % of the last 10 s")
    if swaps:
        parts.append(f"{figure_words(traffic or 0, 'bytes/s')} go to and from swap")
    words = " and ".join(parts)
    yield Finding(
        "memory_pressure",
        "",
        Severity.WARNING,
        "Programs wait for memory" if waits else "The machine swaps",
        f"{words[:1].upper()}{words[1:]}. Models answer slowly meanwhile; stop one, or give it less.",
        evidence_of(
            ("Some waited", some, "percent"),
            ("All waited", full, "percent"),
            ("Swap traffic", traffic, "bytes/s"),
            ("Available", reading.memory_available, "bytes"),
        ),
    )


def io_pressure(reading: Reading, _window: Window, active: frozenset[Place]) -> Iterator[Finding]:
    full, loose = reading.stalls.io_full, LOOSE if ("io_pressure", "") in active else 1.0
    if full is None or full < IO_FULL * loose:
        return
    yield Finding(
        "io_pressure",
        "",
        Severity.INFO,
        "Programs wait for disks",
        f"In {full:.0f} % of the last 10 s everything that wanted to run waited for a disk. "
        "That is usual while weights are read; if it lasts, look at the disks.",
        evidence_of(("All waited", full, "percent")),
    )


def disks(reading: Reading, window: Window, active: frozenset[Place]) -> Iterator[Finding]:
    """Nearly full by share, as df counts it; soon full by the slope of the last ten minutes."""
    for disk in reading.disks:
        share = 100 * disk.used / (disk.used + disk.free) if disk.used + disk.free else 0.0
        slope = window.disks[disk.mount].slope() if disk.mount in window.disks else None
        shown = evidence_of(
            ("Used", share, "percent"), ("Free", disk.free, "bytes"), ("Growth per second", slope, "bytes")
        )
        if share >= (DISK_FULL_STAY if ("disk_full", disk.mount) in active else DISK_FULL):
            yield Finding(
                "disk_full", disk.mount,
                Severity.CRITICAL if share >= DISK_CRITICAL else Severity.WARNING,
                f"{disk.mount} is {share:.0f} % full",
                f"{figure_words(disk.free, 'bytes')} are free on {disk.mount}. Delete weights or images that "
                "nothing needs.",
                shown,
            )  # fmt: skip
        elif (left := _filled_in(disk.free, slope, window, disk.mount)) is not None:
            stays = ("disk_filling", disk.mount) in active
            if left <= (FILLING_STAY_SECONDS if stays else FILLING_SECONDS):
                yield Finding(
                    "disk_filling", disk.mount,
                    Severity.WARNING if left <= FILLING_SOON_SECONDS else Severity.INFO,
                    f"{disk.mount} is full in {span_words(left)}",
                    f"{figure_words(disk.free, 'bytes')} are free on {disk.mount} and "
                    f"{figure_words((slope or 0) * 60, 'bytes')} go each minute, as in the last ten minutes.",
                    shown,
                )  # fmt: skip


def _filled_in(free: float, slope: float | None, window: Window, mount: str) -> float | None:
    if slope is None or slope <= 0 or window.disks[mount].span < FILLING_SPAN_SECONDS:
        return None
    return free / slope


def sampler_cost(_reading: Reading, window: Window, active: frozenset[Place]) -> Iterator[Finding]:
    loose = LOOSE if ("sampler_cost", "") in active else 1.0
    cpu, late = window.sampler_cpu.mean(), window.sampler_late.mean()
    if window.sampler_cpu.span < COST_SPAN_SECONDS or cpu is None:
        return
    if cpu < COST_PERCENT * loose and (late or 0) < COST_LATE_SECONDS * loose:
        return
    yield Finding(
        "sampler_cost",
        "",
        Severity.INFO,
        f"SparkWeb's own readings cost {cpu:.0f} % of a core",
        f"Over the last minute the sampler used {cpu:.0f} % of one core and was {late or 0:.2f} s late on "
        "average. A slow driver or a machine without a free core does that.",
        evidence_of(("CPU of the sampler", cpu, "percent"), ("Late", late, "s")),
    )


JUDGES: tuple[Judge, ...] = (
    memory_exhaustion,
    gpu_wedge,
    gpu_throttled,
    orphaned_memory,
    memory_pressure,
    io_pressure,
    disks,
    sampler_cost,
)


def judged(reading: Reading, window: Window, active: frozenset[Place]) -> list[Finding]:
    """Everything that is the matter with one node by itself."""
    return [finding for judge in JUDGES for finding in judge(reading, window, active)]
