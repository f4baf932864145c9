"""Peak memory is that of the process, or of those that it started. Freed memory is used again, where it can be."""

import platform
import subprocess
import sys

import pytest

from wsss_lib.memory import peak_mib


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_a_process_that_took_memory_says_so() -> None:
    start = "from wsss_lib.memory import peak_mib; before = peak_mib(); "
    grown = float(run(start + "data = b'x' * 2**26; del data; print(peak_mib() - before)"))
    assert 60 < grown < 80, "a peak does not go down when the memory is given back"


def test_children_are_counted_apart() -> None:
    program = (
        "import subprocess, sys; from wsss_lib.memory import peak_mib; before = peak_mib(); "
        "subprocess.run([sys.executable, '-c', 'bytes(1) * (200 * 2**20)'], check=True); "
        "print(peak_mib(children=True) > 200, peak_mib() - before < 50)"
    )
    assert run(program).split() == ["True", "True"]
    assert peak_mib() > 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep what is freed")
@pytest.mark.parametrize("entry", ["memory.keep_freed()", "notebook.begin('01_cam')"])
def test_freed_memory_is_used_again(entry: str) -> None:
    program = (
        "import resource, torch; from wsss_lib import memory, notebook\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(5): [torch.ones(2**22 * 4) for _ in range(3)]\n"  # 3 blocks of 64 MiB
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        f"usual = faults(); {entry}; faults(); print(usual, faults())"
    )
    usual, kept = map(int, run(program).split()[-2:])
    # One block of fifteen may come to lie anew, where something small has taken its place.
    assert kept < usual / 10, f"{kept} pages were touched for the first time, and {usual} before"
