"""Fixtures of the data tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest
from data_kit import Handler, Site

from wsss_lib.data.photos.download import Patience


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A running server; the test says what it holds and how it behaves."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    handler = type("Handler", (Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture
def patience() -> Patience:
    """Short waits."""
    return Patience(attempts=3, pause=0.0, connect=2.0, silence=0.4)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing that a test fetches or converts lands in the user's folders."""
    home = tmp_path / "home"
    monkeypatch.setenv("WSSS_DATA", str(home))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs of a developer's machine."""
    default = Path(__file__).parents[2] / ".." / "shared"
    folder = Path(os.environ.get("WSSS_SHARED", default)) / "data"
    if not folder.is_dir():
        pytest.skip("the real photographs are not on this machine: set WSSS_SHARED to their folder")
    return folder
