"""A web server on the loopback that misbehaves to order, and small tables of the schemas that real data come in."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest

from wsss_lib.data.download import Patience


@dataclass
class Site:
    """What the server holds and how it behaves; ``log`` keeps (path, Range header) of every request.

    ``cut`` answers stop after that many bytes of the answer, ``fail`` answers are that status, ``stall`` answers wait
    before the body; each is used up one at a time, then the server is well again.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str | None]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    fail: list[int] = field(default_factory=list)
    stall: list[float] = field(default_factory=list)
    ranges: bool = True
    wrong_offset: bool = False
    etag: str = '"one"'
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def requests(self, path: str) -> list[str | None]:
        return [wanted for name, wanted in self.log if name == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        wanted = self.headers.get("Range")
        site.log.append((self.path, wanted))
        site.headers.append(dict(self.headers))
        if site.fail:
            return self._refuse(site.fail.pop(0))
        if self.path not in site.files:
            return self._refuse(404)
        body, start = site.files[self.path], 0
        if wanted and site.ranges and self.headers.get("If-Range", site.etag) == site.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
            if site.wrong_offset:
                start = 0
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        rest = body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", site.etag)
        self.end_headers()
        if site.stall:
            time.sleep(site.stall.pop(0))
        if site.cut:
            rest = rest[: site.cut.pop(0)]
            self.close_connection = True
        with contextlib.suppress(ConnectionError):  # the client may have lost patience
            self.wfile.write(rest)
        return None

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A running server; the test says what it holds and how it behaves."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
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
