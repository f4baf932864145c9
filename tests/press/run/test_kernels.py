"""Nobody waits in vain: a wake-up that is lost on purpose, a kernel that dies, a kernel that is slow."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import pytest
from notebook_kit import notebook, put

from press import cells
from press.run import execute, validate
from press.run.kernels import PolledManager, slices

DEAF = """\
import asyncio, json, sys, zmq, zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from press.run import execute, kernels

heard = zmq.asyncio.Socket.poll

async def deaf(self, timeout=None, flags=zmq.POLLIN):
    if self.type != zmq.DEALER:  # messages of iopub wake their reader, those of the shell never do
        return await heard(self, timeout, flags)
    await asyncio.sleep(3600 if timeout is None else timeout / 1000)
    return await heard(self, 0, flags)

zmq.asyncio.Socket.poll = deaf
if sys.argv[2] == "whole":
    kernels.SLICE = 3600
print(json.dumps(execute.main(json.load(open(sys.argv[1])))))
"""


def run_deaf(work: Path, mode: str, timeout: int) -> dict[str, object]:
    """A chapter of one cell, executed by a client whose polls of the shell channel never wake before their end."""
    (work / "empty").mkdir(parents=True)
    execute.specify_kernel(work)
    cells.write(notebook("01_cam", "print(1)", begin=False, parameters=None), work / "in.ipynb")
    job = {"input": str(work / "in.ipynb"), "output": str(work / "out.ipynb"), "folder": str(work / "empty")}
    job["name"] = "01_cam"
    (work / "job.json").write_text(json.dumps(job | {"timeout": timeout}))
    environment = execute.environment(work, work / "cache", one_thread=True, offline=True)
    command = [sys.executable, "-c", DEAF, str(work / "job.json"), mode]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_lost_wake_up_costs_a_second_not_the_time_out(tmp_path):
    started = time.monotonic()
    assert run_deaf(tmp_path, "slices", 60)["ok"]
    assert time.monotonic() - started < 30


def test_the_loss_is_real_one_long_poll_sees_the_cell_when_its_time_has_ended(tmp_path):
    started = time.monotonic()
    run_deaf(tmp_path, "whole", 4)
    assert time.monotonic() - started > 4


def test_slices_fill_the_wait_and_no_more():
    assert list(slices(0)) == [0]
    started = time.monotonic()
    lengths = []
    for length in slices(1.2):
        lengths.append(length)
        time.sleep(length)
    assert max(lengths) <= 1
    assert sum(lengths) <= 1.2 <= time.monotonic() - started  # a busy machine sleeps longer


def test_a_channel_still_says_that_nothing_came():
    async def ask() -> None:
        client = PolledManager(shell_port=1).client()
        started = time.monotonic()
        with pytest.raises(Empty):
            await client.shell_channel.get_msg(0.2)
        assert time.monotonic() - started < 30  # of minutes that a channel waits otherwise
        client.stop_channels()

    asyncio.run(ask())


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_nbval_fails_at_once_when_a_kernel_dies(clone, capfd):
    put(clone, "01_cam", "import os\nos.kill(os.getpid(), 9)", begin=False)
    started = time.monotonic()
    assert validate.main(clone, jobs=1) == 1
    assert time.monotonic() - started < 60
    assert "the kernel died" in capfd.readouterr().out
