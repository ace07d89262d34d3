"""What is wrong with a driver, in words, from recorded trees of /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from sparkweb.adapters.nvml.driver import fault_of, kernel_module_version, library_was_replaced

OPEN_MODULE = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.95.05  "
    "Release Build  (dvs-builder@U22-I3-B17-02)\n"
    "GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04)\n"
)
CLOSED_MODULE = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"


def machine(root: Path, module: str = "", pci: tuple[tuple[str, str], ...] = ()) -> Path:
    if module:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").write_text(module)
    for number, (vendor, kind) in enumerate(pci):
        device = root / f"sys/bus/pci/devices/0000:0{number}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    return root


@pytest.mark.parametrize(
    ("text", "version"), [(OPEN_MODULE, "580.95.05"), (CLOSED_MODULE, "535.183.01"), ("nonsense\n", None)]
)
def test_module_version_is_read_from_both_kinds_of_driver(
    tmp_path: Path, text: str, version: str | None
) -> None:
    assert kernel_module_version(machine(tmp_path, text)) == version


def test_mismatch_names_the_loaded_driver_and_the_cure(tmp_path: Path) -> None:
    fault = fault_of(
        pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH), machine(tmp_path, OPEN_MODULE)
    )
    assert fault.status == "error"
    assert fault.message.startswith("The NVIDIA driver was updated while the old one is loaded")
    assert fault.message.endswith("reboot this machine")


def test_gpu_without_a_driver_is_an_error(tmp_path: Path) -> None:
    root = machine(tmp_path, pci=(("0x8086", "0x020000"), ("0x10de", "0x030200")))
    fault = fault_of(pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), root)
    assert fault == ("error", "There is an NVIDIA GPU but no NVIDIA driver: install the driver")


def test_nvidia_network_card_is_no_gpu(tmp_path: Path) -> None:
    root = machine(tmp_path, pci=(("0x10de", "0x020000"),))
    fault = fault_of(pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), root)
    assert fault == ("none", "No NVIDIA driver on this machine")


def test_missing_library_beside_a_loaded_module_is_an_error(tmp_path: Path) -> None:
    fault = fault_of(pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), machine(tmp_path, OPEN_MODULE))
    assert fault.status == "error"
    assert "580.95.05 is loaded but its library libnvidia-ml.so.1 is missing" in fault.message


def test_driver_that_is_not_loaded_beside_a_gpu_says_how_to_load_it(tmp_path: Path) -> None:
    root = machine(tmp_path, pci=(("0x10de", "0x030000"),))
    fault = fault_of(pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED), root)
    assert fault.status == "error"
    assert "modprobe nvidia" in fault.message


def test_denied_driver_names_the_device_files(tmp_path: Path) -> None:
    fault = fault_of(pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION), tmp_path)
    assert "/dev/nvidiactl" in fault.message


def test_library_replaced_on_disk_is_noticed(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f01 r-xp 00000000 fe:00 12 /usr/lib/libnvidia-ml.so.580.95.05\n")
    assert not library_was_replaced(maps)
    maps.write_text("7f00-7f01 r-xp 00000000 fe:00 12 /usr/lib/libnvidia-ml.so.580.95.05 (deleted)\n")
    assert library_was_replaced(maps)
