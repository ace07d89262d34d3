"""What a GPU is asked each second, and which answers can be true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pynvml

OLD_LIBRARY = {pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH}
ECC_SECONDS = 10.0
MIG_SECONDS = 60.0
# Why the clock is below its highest: bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h).
THROTTLE_REASONS = {
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "software_thermal",
    0x40: "hardware_thermal",
    0x80: "power_brake",
    0x100: "display_clock",
}


def _as_is(value: float) -> Any:
    return value


def _reason_words(mask: float) -> list[str]:
    return [word for bit, word in THROTTLE_REASONS.items() if int(mask) & bit]


class Figure(NamedTuple):
    """A figure of the report and the range in which its values make sense.

    What lies outside is a sentinel (all ones, 9.2e18 %, 0 °C of a sensor that
    is not there) and is shown as unsupported. `shown` turns the driver's number
    into what the report holds.
    """

    name: str
    low: float
    high: float
    shown: Callable[[float], Any] = _as_is


class Query(NamedTuple):
    """One NVML call, the figures it answers, and how long an answer holds."""

    call: Callable[[Any], tuple[float, ...]]
    figures: tuple[Figure, ...]
    holds_seconds: float = 0.0


def _memory(handle: Any) -> tuple[float, ...]:
    """Used and total, bytes. Version 2 leaves the driver's own reserve out of `used`, as nvidia-smi does."""
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError as error:
        if error.value not in OLD_LIBRARY:
            raise
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return memory.used, memory.total


def _utilization(handle: Any) -> tuple[float, ...]:
    """Share of the last sample period, 1/6 to 1 s, in which a kernel ran or memory was moved; percent."""
    rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    return rates.gpu, rates.memory


def _power(handle: Any) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,)


def _power_limit(handle: Any) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,)


def _temperature(handle: Any) -> tuple[float, ...]:
    """°C of the GPU sensor; drivers before 580 know only the call that 13.0 deprecated."""
    try:
        return (pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU),)
    except pynvml.NVMLError as error:
        if error.value not in OLD_LIBRARY:
            raise
        return (pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),)


def _clock_sm(handle: Any) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),)


def _clock_sm_max(handle: Any) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM),)


def _clock_memory(handle: Any) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),)


def _fan(handle: Any) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetFanSpeed(handle),)


def _energy(handle: Any) -> tuple[float, ...]:
    return (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,)


def _throttle(handle: Any) -> tuple[float, ...]:
    """A mask of reasons; drivers before 535 know it as throttle reasons."""
    try:
        return (pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),)
    except pynvml.NVMLError as error:
        if error.value not in OLD_LIBRARY:
            raise
        return (pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),)


def _performance_state(handle: Any) -> tuple[float, ...]:
    """0 (fastest) to 15; 32 is "unknown"."""
    return (pynvml.nvmlDeviceGetPerformanceState(handle),)


def _ecc(handle: Any) -> tuple[float, ...]:
    """Memory errors since the driver loaded: corrected, then uncorrected."""
    kinds = (pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
    return tuple(pynvml.nvmlDeviceGetTotalEccErrors(handle, kind, pynvml.NVML_VOLATILE_ECC) for kind in kinds)


def _mig(handle: Any) -> tuple[float, ...]:
    """1 where the card is divided now; what it will be after a reset is not asked."""
    return (pynvml.nvmlDeviceGetMigMode(handle)[0],)


MEMORY = Query(_memory, (Figure("memory_used_bytes", 0, 2**48), Figure("memory_total_bytes", 1, 2**48)))
QUERIES = (
    Query(
        _utilization, (Figure("utilization_percent", 0, 100), Figure("memory_utilization_percent", 0, 100))
    ),
    MEMORY,
    Query(_power, (Figure("power_watts", 0, 20_000),)),
    Query(_power_limit, (Figure("power_limit_watts", 1, 20_000),), holds_seconds=10),
    Query(_temperature, (Figure("temperature_celsius", 1, 150),)),
    Query(_clock_sm, (Figure("clock_sm_mhz", 1, 20_000),)),
    Query(_clock_sm_max, (Figure("clock_sm_max_mhz", 1, 20_000),), holds_seconds=60),
    Query(_clock_memory, (Figure("clock_memory_mhz", 1, 50_000),)),
    Query(_fan, (Figure("fan_percent", 0, 200),)),  # above 100 is allowed: nvml.h, nvmlDeviceGetFanSpeed
    Query(_energy, (Figure("energy_joules", 0, 2**53),)),
    Query(_throttle, (Figure("throttle_reasons", 0, 2**16, _reason_words),)),
    Query(_performance_state, (Figure("performance_state", 0, 15, int),)),
    Query(
        _ecc,
        (Figure("ecc_corrected_total", 0, 2**48), Figure("ecc_uncorrected_total", 0, 2**48)),
        holds_seconds=ECC_SECONDS,
    ),
    Query(_mig, (Figure("mig_enabled", 0, 1, bool),), holds_seconds=MIG_SECONDS),
)
UNIFIED_HIDES = (
    "memory_used_bytes",  # where it answers at all, it is the host's RAM: nvtop#511
    "memory_total_bytes",
    "memory_utilization_percent",  # stuck at 0: llama-swap#782
    "clock_memory_mhz",
)
