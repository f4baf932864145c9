"""Kernels that nobody waits for in vain: every wait for a message looks again each second.

nbclient's output widgets send on the shell channel while the client polls it. Sending consumes the mark that says "a
message has come", and the poll sleeps until its time-out ends although the cell has long finished (jupyter/nbclient,
issue 312). A poll of at most a second looks anew at what is there. nbval polls another way, but waits its whole
time-out for a kernel that has died; it waits in the same slices, and asks in between whether the kernel lives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from traitlets import Type

SLICE = 1.0
"""Seconds of one poll."""
START = 60
"""Seconds that a kernel has to start."""


def slices(timeout: float | None) -> Iterator[float]:
    """Lengths of the polls, in seconds, that fill a wait: without end where the time-out is None."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = SLICE if end is None else end - time.monotonic()
        yield max(0.0, min(SLICE, left))
        if left <= SLICE and end is not None:
            return


class PolledChannel(AsyncZMQSocketChannel):
    """A channel whose wait for a message is made of short polls."""

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:  # type: ignore[override]
        """The next message.

        Raises:
            queue.Empty: None came in time.
        """
        for length in slices(timeout):
            try:
                return await super().get_msg(length)
            except Empty:
                continue
        raise Empty


class PolledClient(AsyncKernelClient):
    """A client that waits in short polls."""

    shell_channel_class = Type(PolledChannel)  # type: ignore[assignment]
    iopub_channel_class = Type(PolledChannel)  # type: ignore[assignment]
    control_channel_class = Type(PolledChannel)  # type: ignore[assignment]


class PolledManager(AsyncKernelManager):
    """What papermill takes as ``kernel_manager_class``."""

    client_factory = Type(PolledClient)  # type: ignore[assignment]


def watch_nbval() -> None:
    """Have nbval's kernels wait in short polls, and fail at once when the kernel has died."""
    from nbval.kernel import RunningKernel

    long_poll = RunningKernel.get_message

    def get_message(kernel: Any, stream: str, timeout: float | None = None) -> Any:
        for length in slices(timeout):
            try:
                return long_poll(kernel, stream, length)
            except Empty:
                if not kernel.is_alive():
                    raise RuntimeError("the kernel died while a cell was executed, often for want of memory") from None
        raise Empty

    RunningKernel.get_message = get_message
