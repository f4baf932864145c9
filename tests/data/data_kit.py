"""A web server that misbehaves to order, and small pictures."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass
class Site:
    """What the server holds and how it behaves; ``log`` keeps (path, Range header) of every request.

    ``cut`` answers stop after that many bytes of the answer, ``fail`` answers are that status, ``stall`` answers wait
    before the body; each is used up one at a time, then the server is well again. ``shift`` moves
    the start of every partial answer.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str | None]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    fail: list[int] = field(default_factory=list)
    stall: list[float] = field(default_factory=list)
    ranges: bool = True
    shift: int | None = None
    etag: str = '"one"'
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def requests(self, path: str) -> list[str | None]:
        return [wanted for name, wanted in self.log if name == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client may have lost patience
            super().handle()

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
            if site.shift is not None:
                start = max(0, start + site.shift)
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
        self.wfile.write(rest)
        return None

    def do_HEAD(self) -> None:
        """As the Hub answers before it sends a file."""
        body = self.site.files.get(self.path)
        if body is None:
            return self._refuse(404)
        self.send_response(200)
        self.send_header("X-Repo-Commit", self.path.partition("/resolve/")[2].partition("/")[0])
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return None

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def picture(height: int, width: int, seed: int = 0, form: str = "PNG") -> bytes:
    """A small photograph of noise, encoded."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def grey(values: NDArray[np.uint8]) -> bytes:
    """An index mask, encoded without a palette."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
