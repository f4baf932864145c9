"""Is anything lost when a process is killed? Kill each kind of work at random moments, begin it again, and compare.

    python tests/kill.py --count 20 --seed 0             all kinds; about half an hour on one core
    python tests/kill.py --count 5 --only training --only maps

Of every kind one run goes through undisturbed. Then, so many times, a run in a fresh folder is killed by SIGKILL, with
all that it started, and begun again, until one goes through; its first attempts are killed at a random moment of the
time that the undisturbed run took. What it leaves must equal what the undisturbed run left, and no file under a final
name may be damaged at any time.
"""

# ruff: noqa: E402 - what the tests share lies in folders of theirs

from __future__ import annotations

import argparse
import hashlib
import http.server
import io
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "data"), str(TESTS / "press")]

import datasets
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from book_kit import lay_out
from data_kit import Handler, Site
from notebook_kit import PARAMETERS, put, skeleton
from PIL import Image

from press import cells
from press.publish.build import build
from press.run.run import run
from wsss_lib.backbones import backbone
from wsss_lib.data import load
from wsss_lib.data.photos.download import download
from wsss_lib.data.photos.entries import RemoteFile
from wsss_lib.localize.extraction import extract_maps
from wsss_lib.methods import registry
from wsss_lib.train import TrainConfig, fit
from wsss_lib.train.features import FeatureRecords

ATTEMPTS = 3
"""How often one run is killed at most, before it is left alone."""
TIMEOUT = 300
"""Seconds after which a run that was not killed is taken to hang."""


def digest(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def classifier(seed: int = 0) -> torch.nn.Module:
    """A CAM over few channels, fresh."""
    torch.manual_seed(seed)
    return registry.build("cam", backbone("tiny_cnn", widths=(4, 6, 8, 10)), 6)


class Work:
    """A kind of work: :meth:`go` does it in a folder, and :meth:`result` says what it left there."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared  # what all runs read

    def lay(self, folder: Path) -> None:
        """What a run begins with."""

    def go(self, folder: Path) -> None:
        raise NotImplementedError

    def result(self, folder: Path) -> object:
        raise NotImplementedError

    def damaged(self, folder: Path) -> list[str]:
        """What lies under a final name and cannot be read."""
        return []


class Training(Work):
    """A run with a checkpoint after every second update."""

    def __init__(self, shared: Path) -> None:
        super().__init__(shared)
        self.records = load("critters", split="train", count=64)

    def go(self, folder: Path) -> None:
        config = TrainConfig(steps=40, epochs=None, batch_size=16, lr=0.01, checkpoint_every=2, device="cpu")
        method = classifier()
        history = fit(method, self.records, config, out_dir=folder / "run", progress="none")
        values = b"".join(value.numpy().tobytes() for value in method.state_dict().values())
        kept = {"loss": history.loss, "weights": hashlib.sha256(values).hexdigest()}
        (folder / "result.json").write_text(json.dumps(kept))

    def result(self, folder: Path) -> object:
        return json.loads((folder / "result.json").read_text())


class Slowly(Handler):
    """Sends a file over about a second."""

    def setup(self) -> None:
        super().setup()
        write = self.wfile.write

        def trickle(data: bytes) -> int:
            for start in range(0, len(data), 2**16):
                write(data[start : start + 2**16])
                time.sleep(0.01)
            return len(data)

        self.wfile.write = trickle  # type: ignore[method-assign]


class Fetching(Work):
    """A file of some MB from a server that takes its time."""

    def __init__(self, shared: Path) -> None:
        super().__init__(shared)
        self.data = random.Random(0).randbytes(6_000_000)
        site = Site(files={"/file": self.data})

        handler = type("Served", (Slowly,), {"site": site})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/file"
        self.file = RemoteFile(url, "file", sha256=hashlib.sha256(self.data).hexdigest())

    def go(self, folder: Path) -> None:
        download(self.file, folder, progress=False)

    def result(self, folder: Path) -> object:
        return {path.name: digest(path) for path in folder.iterdir() if not path.name.startswith(".")}

    def damaged(self, folder: Path) -> list[str]:
        file = folder / "file"
        return [str(file)] if file.exists() and file.read_bytes() != self.data else []


class Caching(Work):
    """The features that a frozen trunk makes of images, kept on disk."""

    def __init__(self, shared: Path) -> None:
        super().__init__(shared)
        self.records = load("critters", split="train", count=1500)

    def cached(self, folder: Path) -> FeatureRecords:
        torch.manual_seed(0)
        trunk = backbone("tiny_cnn", widths=(4, 6, 8, 10)).eval()
        trunk.freeze("stage2")
        return FeatureRecords(self.records, trunk, folder=folder / "kept", batch_size=16)

    def go(self, folder: Path) -> None:
        records = self.cached(folder)
        total = hashlib.sha256()
        for i in range(0, len(records), 50):
            total.update(records[i]["views"].numpy().tobytes())
        (folder / "result.json").write_text(total.hexdigest())

    def result(self, folder: Path) -> object:
        return (folder / "result.json").read_text()


class Maps(Work):
    """Masks of a sharded data set."""

    SHARDS, ROWS = 8, 24

    def __init__(self, shared: Path) -> None:
        super().__init__(shared)
        records = load("critters", split="test", count=self.SHARDS * self.ROWS)
        config = TrainConfig(steps=1, epochs=None, batch_size=4, lr=0.01, device="cpu")
        fit(classifier(), records.subset(range(4)), config, out_dir=shared / "run", progress="none")
        (shared / "data").mkdir()
        schema = datasets.Features({"image": datasets.Image()}).arrow_schema
        for shard in range(self.SHARDS):
            rows = []
            for i in range(shard * self.ROWS, (shard + 1) * self.ROWS):
                buffer = io.BytesIO()
                pixels = (records[i]["image"] * 255).round().byte().permute(1, 2, 0).numpy()
                Image.fromarray(pixels).save(buffer, "PNG")
                rows.append({"bytes": buffer.getvalue(), "path": None})
            pq.write_table(pa.table({"image": rows}, schema=schema), shared / "data" / f"train-{shard:05d}.parquet")

    def go(self, folder: Path) -> None:
        extract_maps(self.shared / "data", folder / "out", checkpoint=self.shared / "run", batch_size=4, device="cpu")

    def files(self, folder: Path) -> list[Path]:
        return sorted(path for path in (folder / "out").rglob("*.parquet") if not path.name.startswith("."))

    def result(self, folder: Path) -> object:
        return {path.name: pq.read_table(path).to_pydict() for path in self.files(folder)}

    def damaged(self, folder: Path) -> list[str]:
        return [str(path) for path in self.files(folder) if pq.read_table(path).num_rows != self.ROWS]


class InPlace(Work):
    """Chapters whose outputs are stored in them."""

    def lay(self, folder: Path) -> None:
        (folder / "clone").mkdir()
        root = skeleton(folder / "clone")
        for name in ("01_cam", "02_next"):
            put(root, name, "print(6 * 7)", "print('x' * 20000)", begin=False, parameters=PARAMETERS)

    def go(self, folder: Path) -> None:
        jobs = run(folder / "clone", store="outputs", jobs=1, tell=lambda _: None)
        assert not [job.failure for job in jobs if job.failure]

    def chapters(self, folder: Path) -> list[Path]:
        return sorted((folder / "clone" / "book" / "chapters").glob("*.ipynb"))

    def result(self, folder: Path) -> object:
        return {path.name: digest(path) for path in self.chapters(folder)}

    def damaged(self, folder: Path) -> list[str]:
        return [str(path) for path in self.chapters(folder) if not readable(path)]


class Building(Work):
    """The book as pages."""

    def lay(self, folder: Path) -> None:
        (folder / "clone").mkdir()
        lay_out(folder / "clone")

    def go(self, folder: Path) -> None:
        assert build(folder / "clone") is not None

    def result(self, folder: Path) -> object:
        pages = (folder / "clone" / "_build" / "html").rglob("*.html")
        return {path.name: digest(path) for path in pages}


def readable(path: Path) -> bool:
    """Whether a notebook is one."""
    try:
        return len(cells.read(path).cells) > 2
    except Exception:
        return False


KINDS: dict[str, type[Work]] = {
    "training": Training,
    "fetching": Fetching,
    "caching": Caching,
    "maps": Maps,
    "in-place": InPlace,
    "build": Building,
}


def begun(work: Work, folder: Path) -> int:
    """A process of its own that does the work; forked, so that importing torch is paid for once."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    os.setsid()
    status = 1
    try:
        with (folder / ".said").open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            try:
                work.go(folder)
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(status)


def ended(pid: int, within: float) -> int | None:
    """The exit status of a process; None if it has not ended within these seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def killed(pid: int) -> None:
    """The process and all that it started, at once."""
    family = psutil.Process(pid).children(recursive=True)
    for each in (pid, *(member.pid for member in family)):
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.waitpid(pid, 0)


@contextmanager
def fresh(work: Work) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wsss-kill-") as name:
        folder = Path(name)
        work.lay(folder)
        yield folder


def undisturbed(work: Work) -> tuple[object, float]:
    """What the work leaves, and how long it takes."""
    with fresh(work) as folder:
        start = time.monotonic()
        status = ended(begun(work, folder), TIMEOUT)
        if status != 0:
            raise SystemExit(f"the undisturbed run ended with {status}:\n{(folder / '.said').read_text()}")
        return work.result(folder), time.monotonic() - start


def disturbed(work: Work, expected: object, span: float, rng: random.Random) -> tuple[list[float], str]:
    """One run that is killed; when, and what is wrong with what it left, or nothing."""
    moments: list[float] = []
    with fresh(work) as folder:
        for _ in range(ATTEMPTS):
            pid, moment = begun(work, folder), rng.uniform(0.02, 1.0) * span
            status = ended(pid, moment)
            if status is None:
                killed(pid)
                moments.append(moment)
                if damaged := work.damaged(folder):
                    return moments, f"damaged after {moment:.2f} s: {', '.join(damaged)}"
            elif status:
                return moments, f"ended with {status}: {(folder / '.said').read_text()[-800:]}"
            else:
                break
        else:
            pid = begun(work, folder)
            status = ended(pid, TIMEOUT)
            if status is None:
                killed(pid)
                return moments, "hangs when it is begun again"
            if status:
                return moments, f"does not go on: {(folder / '.said').read_text()[-800:]}"
        return moments, difference(work.result(folder), expected)


def difference(left: object, expected: object) -> str:
    """What is wrong with a result, or nothing."""
    if left == expected:
        return ""
    if isinstance(left, dict) and isinstance(expected, dict):
        names = sorted(key for key in left.keys() | expected.keys() if left.get(key) != expected.get(key))
        return f"left something else than an undisturbed run: {', '.join(names)}"
    return "left something else than an undisturbed run"


def main(tell: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="kills of each kind (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    parser.add_argument("--only", action="append", choices=KINDS, help="a kind of work (may be repeated)")
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads do not survive a fork
    os.environ["NO_PROXY"] = "127.0.0.1"
    wrong = 0
    for name in options.only or KINDS:
        rng = random.Random(f"{options.seed} {name}")
        with tempfile.TemporaryDirectory(prefix="wsss-kill-") as shared:
            work = KINDS[name](Path(shared))
            expected, span = undisturbed(work)
            kills, runs, faults = 0, 0, []
            while kills < options.count and runs < 3 * options.count:
                moments, fault = disturbed(work, expected, span, rng)
                kills, runs = kills + len(moments), runs + 1
                faults += [fault] if fault else []
            tell(f"{name}: {kills} kills in {runs} runs of {span:.1f} s, {len(faults) or 'no'} at fault")
            for fault in faults:
                tell(f"  {fault}")
            wrong += len(faults)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
