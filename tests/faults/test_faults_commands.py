"""The commands as somebody calls them who did not read on: one sentence, nothing half written, no temporary folder."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_kit import photo, rows_to_parquet
from test_faults_trained import trained  # noqa: F401 - a fixture

from wsss_lib.cli import main

PIPELINE = ["--backbone", "tiny_cnn", "--steps", "2", "--device", "cpu"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two photographs, a list of them, and a shard; temporary files go to a folder of it."""
    (tmp_path / "zoo").mkdir()
    for name in ("a", "b"):
        (tmp_path / "zoo" / f"{name}.png").write_bytes(photo(40, 48, ord(name)))
    (tmp_path / "zoo" / "labels.csv").write_text("image,label\na.png,cat\nb.png,dog\n")
    rows_to_parquet(tmp_path / "shards" / "a.parquet", [{"image": photo()}])
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command's exit code, what it said, and what it said of errors."""
    capsys.readouterr()
    try:
        code: Any = main(arguments)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def kept(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in ("home", "runs")
    }


CALLS: list[tuple[str, str]] = [
    *(
        (f"pipeline {data}", cause)
        for data, cause in {
            "nowhere": "no folder", "'a file'": "no CSV", "empty": "says no labels", "full": "says no labels",
            "zoo/a.png": "no CSV", "shards": "says no labels", "''": "empty path",
        }.items()
    ),
    *(
        (f"pipeline zoo --out {out}", cause)
        for out, cause in {
            "'a file'": "is a file", "'a file/deeper'": "results cannot go to", "full": "something else",
            "zoo": "among the photographs", "/proc/self/wsss": "results cannot go to", "''": "empty path",
        }.items()
    ),
    *((f"pipeline zoo --threshold {value}", "threshold") for value in ("nan", "2", "-1", "1", "x", "inf")),
    *((f"pipeline zoo --steps {value}", "--steps") for value in ("0", "-1", "2.5", "x", "''")),
    *((f"pipeline zoo --seed {value}", "seed") for value in ("-1", "99999999999999999999", "1.5", "x")),
    *((f"pipeline zoo --method {value}", "method|maps from image labels") for value in ("cams", "dtmr", "''")),
    *((f"pipeline zoo --backbone {value}", "no backbone") for value in ("resnet5", "''")),
    *((f"pipeline zoo --weights {value}", "weights|path|tensors") for value in ("nowhere", "''", "'a file'", "empty")),
    *((f"pipeline zoo --names {value}", "name") for value in ("cat,cat", "nowhere.txt", "','", "''", "cow,owl")),
    *((f"pipeline zoo {value}", "") for value in ("--refine x", "--drawn-on x", "--separator ''", "--device tpu9")),
    *(
        (f"localize {value}", cause)
        for value, cause in {
            "nowhere.png": "no photo", "empty": "holds no images", "'a file'": "no image", "full": "holds no images",
            "zoo/labels.csv": "no image", "zoo --threshold nan": "threshold", "zoo --threshold 2": "threshold",
            "zoo --threshold x": "threshold", "zoo --top 0": "--top", "zoo --top x": "--top", "zoo --boxes x": "boxes",
            "zoo --method cams": "did you mean", "zoo --method bas": "checkpoint", "zoo --device tpu9": "device",
            "zoo --backbone resnet5": "no backbone", "zoo --weights nowhere": "weights",
            "zoo --class unicorn": "unicorn", "zoo --class ''": "class",
            "zoo --checkpoint nowhere": "no intact checkpoint", "zoo --checkpoint ''": "path",
            "zoo --checkpoint 'a file'": "is a file", "zoo --out 'a file'": "a file", "zoo --out 'a file/x'": "a file",
            "zoo --out ''": "empty path",
        }.items()
    ),
    *(
        (f"maps {value}", cause)
        for value, cause in {
            "shards": "--checkpoint", "shards --checkpoint ''": "path", "shards --checkpoint empty": "no intact",
            "nowhere --checkpoint runs": "holds no Parquet", "empty --checkpoint runs": "holds no Parquet",
            "'a file' --checkpoint runs": "cannot be read as Parquet",
            "shards --checkpoint runs --threshold nan": "threshold",
            "shards --checkpoint runs --threshold x": "threshold",
            "shards --checkpoint runs --batch-size 0": "--batch-size",
            "shards --checkpoint runs --batch-size x": "--batch-size",
            "shards --checkpoint runs --image picture": "no column 'picture'",
            "shards --checkpoint runs --labels known": "no column 'known'",
            "shards --checkpoint runs --split val": "begins with 'val'",
            "shards --checkpoint runs --method cams": "no method", "shards --checkpoint runs --device tpu9": "device",
            "shards --checkpoint runs --out 'a file'": "results cannot go to",
            "shards --checkpoint runs --out shards": "written over",
        }.items()
    ),
    *(
        (f"data {value}", cause)
        for value, cause in {
            "": "ACTION", "lst": "did you mean", "show nowhere": "nowhere", "prepare nowhere": "nowhere",
            "prepare critters --split noon": "noon", "prepare voc2012 --split noon": "noon",
            "prepare critters --root full": "root", "prepare voc2012 --root 'a file'": "a file",
        }.items()
    ),
    ("lcalize zoo", "did you mean"), ("--nothing", "unrecognized|required"), ("pipeline", "DATA"),
    ("localize", "IMAGE"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("line", "cause"), CALLS, ids=[line for line, _ in CALLS])
def test_a_call_that_cannot_be_is_one_sentence(
    place: Path,
    trained: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    line: str,
    cause: str,
) -> None:
    if line.startswith("pipeline") and "--backbone" not in line:
        line += " --backbone tiny_cnn"
    if line.startswith("localize") and "--checkpoint" not in line and "--backbone" not in line and "bas" not in line:
        line += " --checkpoint runs"
    if "runs" in line:
        shutil.copytree(trained, place / "runs")
    before = kept(place)
    code, _, errors = called(capsys, *shlex.split(line))
    assert code in (1, 2), errors
    told = [each for each in errors.splitlines() if each.startswith("wsss")]
    assert len(told) == 1, errors
    assert re.search(cause, errors), errors
    left = {name: content for name, content in kept(place).items() if before.get(name) != content}
    # A stage that is done stays done: where weights are missing, the labels have been read.
    done = ("pipeline.json", "labels.json", "classifier.json", "photos.csv") if "weights" in line else "pipeline.json"
    assert not [name for name, content in left.items() if content and not name.endswith(done)], left
    assert before.keys() <= kept(place).keys()
    assert not list((place / "temporary").iterdir())


GOOD: dict[str, Callable[[Path], list[str]]] = {
    "pipeline": lambda runs: ["pipeline", "zoo", "--out", "out", *PIPELINE],
    "localize": lambda runs: ["localize", "zoo", "--out", "out", "--checkpoint", str(runs)],
    "maps": lambda runs: ["maps", "shards", "--out", "out", "--checkpoint", str(runs)],
    "data": lambda runs: ["data", "list"],
    "clear": lambda runs: ["data", "clear"],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_call_that_goes_well_leaves_its_results_alone(
    place: Path,
    trained: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    before = kept(place)
    code, _, errors = called(capsys, *GOOD[name](trained))
    assert code == 0, errors
    after = kept(place)
    assert {name for name in after if name not in before and not name.startswith("out")} == set()
    assert {key: after[key] for key in before} == before


BOOK: list[tuple[str, str]] = [
    *((f"run {name}", "no chapter") for name in ("nowhere", "''", "../../etc/passwd", "'c*'", "cam nowhere", "99")),
    *((f"check {name}", "no chapter") for name in ("nowhere", "''")),
    *((f"run cam -p {value}", "name=value") for value in ("x", "=1", "''", "seed")),
    *((f"run cam -p {value}", "no parameter") for value in ("nowhere=1", "Seed=1")),
    *((f"run cam -p seed={value}", "is not of type int") for value in ("x", "[1", "1.5", "'__import__(\"os\")'", "{}")),
    *((f"run cam --jobs {value}", "whole number above 0") for value in ("0", "-1", "x", "1.5", "''")),
    *((f"run cam --timeout {value}", "whole number above 0") for value in ("0", "-1", "x")),
    *((f"run cam {value}", "executed chapters cannot go to") for value in ("--out 'a file'", "--out 'a file/deeper'")),
    ("run cam -p", "expected one argument"), ("run cam -p profile=smoke", "use --profile"),
    ("run cam -p data=", "empty"), ("run cam -p ' seed=1'", "name=value"),
    ("run --profile noon", "invalid choice"), ("run cam --out ''", "empty path"),
    ("run cam --in-place --confirm", "not allowed with"), ("run cam --in-place -p seed=3", "give no -p"),
    ("run cam --in-place --profile smoke", "no other profile"), ("check --only nowhere", "no check"),
    ("check cam --profile noon", "invalid choice"), ("build nowhere", "unrecognized"), ("edition", "required"),
    ("edition handout", "one of the arguments"), ("edition --student 'a file'", "cannot go to"),
    ("edition --student 'a file/deeper'", "cannot go to"), ("edition --student handout nowhere", "no chapter"),
    ("edition --student ''", "empty path"), ("edition --student --slides handout", "not allowed with"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "cause"), BOOK, ids=[line for line, _ in BOOK])
def test_a_call_for_the_book_that_cannot_be_is_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, cause: str
) -> None:
    """Nothing is executed: a kernel that is started fails the test."""
    monkeypatch.setattr("press.project.find_root", lambda: Path(__file__).parents[2])
    monkeypatch.setattr("press.run.execute.start", lambda *_, **__: pytest.fail("a kernel was started"))
    before = kept(place)
    code, _, errors = called(capsys, *shlex.split(line))
    assert code in (1, 2), errors
    assert len([each for each in errors.splitlines() if each.startswith("wsss")]) == 1, errors
    assert re.search(cause, errors), errors
    assert kept(place) == before
