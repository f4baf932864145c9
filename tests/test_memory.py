"""Peak memory is that of the process, or of those that it started."""

import subprocess
import sys

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
