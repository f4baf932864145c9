"""The most memory that was in use at once, and freed memory that is kept for what comes next."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from pathlib import Path

_TRIM, _MAPPED = -1, -3
"""Numbers of glibc's settings M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, of ``malloc.h``."""
_LARGEST = 2**31 - 1
"""What they are set to, in bytes: the largest C int."""


def keep_freed() -> bool:
    """Have this process keep the memory that it frees, for its next tensors, instead of giving it back to the system.

    On Linux, glibc maps each block of some megabytes anew, and the system fills every page of it with zeros on its
    first use. A training step on a CPU frees and takes such blocks all the time: behind a trunk of EfficientNet-Lite0
    this was a third of its time, in the trunk itself two thirds. No number changes. The process stays as large as it
    was at its peak.

    Returns:
        Whether it does so from now on; False where the C library is another than glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    return bool(set_option(_MAPPED, _LARGEST)) and bool(set_option(_TRIM, _LARGEST))


def peak_mib(*, children: bool = False) -> float:
    """Peak of resident memory so far, in MiB; 0 where the system does not tell, as on Windows.

    Args:
        children: Of the largest process that this one started and waited for, instead of its own; its own counts the
            GPU's memory too, where CUDA is in use.
    """
    peak = _rusage("RUSAGE_CHILDREN") if children else _of_this_process()
    torch = sys.modules.get("torch")  # without torch no GPU is in use
    if not children and torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peak += torch.cuda.max_memory_allocated()
    return peak / 2**20


def _of_this_process() -> float:
    # Linux's getrusage begins with the memory of the process that started this one.
    status = Path("/proc/self/status")
    line = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return int(line[1]) * 1024 if line else _rusage("RUSAGE_SELF")


def _rusage(whose: str) -> float:
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB here
    return resource.getrusage(getattr(resource, whose)).ru_maxrss * unit
