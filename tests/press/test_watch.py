"""What waits for another program ends, and says what it waited for."""

import sys
import time

import pytest

from press.project import ProjectError
from press.watch import watched


def test_a_program_that_hangs_is_stopped_and_named():
    started = time.monotonic()
    with pytest.raises(ProjectError, match=r"the long sleep did not end within 0\.5 s"):
        watched([sys.executable, "-c", "import time; time.sleep(60)"], "the long sleep", seconds=0.5)
    assert time.monotonic() - started < 10


def test_a_program_that_ends_is_the_callers_to_look_at():
    done = watched([sys.executable, "-c", "print('é'); raise SystemExit(3)"], "it", seconds=60, capture_output=True)
    assert (done.returncode, done.stdout) == (3, "é\n")
