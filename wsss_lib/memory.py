"""The most memory that was in use at once."""

from __future__ import annotations

import re
import sys
from pathlib import Path


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
