"""What is wrong with the NVIDIA driver, in words and with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pynvml

KERNEL_MODULE = "proc/driver/nvidia/version"
NVIDIA_VENDOR = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302", "0x0380")


class Fault(NamedTuple):
    """Why there are no figures: `none` (nothing to read here) or `error` (something is broken)."""

    status: str
    message: str


def fault_of(error: pynvml.NVMLError, root: Path = Path("/")) -> Fault:
    """Put a failure of NVML as a whole into a sentence for the owner of the machine.

    `root` is where /proc and /sys are looked for, to tell a machine without a
    GPU from one whose driver is missing.
    """
    module = kernel_module_version(root)
    match error.value:
        case pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return _library_missing(module, _has_gpu(root))
        case pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
            return _not_loaded(_has_gpu(root))
        case pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            return Fault("error", _mismatch(library_version(), module))
        case pynvml.NVML_ERROR_NO_PERMISSION:
            return Fault(
                "error",
                "No permission to read the NVIDIA driver: let this user open /dev/nvidiactl and /dev/nvidia0",
            )
    return Fault("error", f"The NVIDIA driver answers with an error: {error} (NVML code {error.value})")


def _library_missing(module: str | None, has_gpu: bool) -> Fault:
    if module:
        return Fault(
            "error",
            f"The NVIDIA kernel driver {module} is loaded but its library libnvidia-ml.so.1 is missing: "
            "install the driver's compute library, or give the container the NVIDIA runtime",
        )
    if has_gpu:
        return Fault("error", "There is an NVIDIA GPU but no NVIDIA driver: install the driver")
    return Fault("none", "No NVIDIA driver on this machine")


def _not_loaded(has_gpu: bool) -> Fault:
    if has_gpu:
        return Fault(
            "error", "The NVIDIA driver is installed but not loaded: run `sudo modprobe nvidia`, or reboot"
        )
    return Fault(
        "none", "The NVIDIA driver is installed but not loaded; there is no NVIDIA GPU on this machine's bus"
    )


def _mismatch(library: str | None, module: str | None) -> str:
    versions = f" (library {library}, loaded driver {module})" if library and module else ""
    return f"The NVIDIA driver was updated while the old one is loaded{versions}: reboot this machine"


def kernel_module_version(root: Path = Path("/")) -> str | None:
    """Return the version of the loaded kernel module, for example `580.95.05`; None when none is loaded.

    Source: /proc/driver/nvidia/version, first line
    (`NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.95.05  Release Build …`).
    """
    try:
        text = (root / KERNEL_MODULE).read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", text)
    return found.group(1) if found else None


def library_version() -> str | None:
    """Return the driver version of libnvidia-ml.so.1, which it tells even when it cannot be used."""
    try:
        text = pynvml.nvmlSystemGetNVMLVersion()
    except pynvml.NVMLError:
        return None
    return str(text).split(".", 1)[-1]  # "13.580.105.08": NVML's own major comes first


def library_was_replaced(maps: Path = Path("/proc/self/maps")) -> bool:
    """Whether the library that this process loaded is no longer the one on disk."""
    return any(
        "libnvidia-ml" in line and line.endswith("(deleted)") for line in maps.read_text().splitlines()
    )


def _has_gpu(root: Path) -> bool:
    """Whether an NVIDIA display or 3D controller is on the PCI bus."""
    for device in (root / "sys" / "bus" / "pci" / "devices").glob("*"):
        try:
            vendor = (device / "vendor").read_text().strip()
            kind = (device / "class").read_text().strip()
        except OSError:
            continue
        if vendor == NVIDIA_VENDOR and kind.startswith(DISPLAY_CLASSES):
            return True
    return False
