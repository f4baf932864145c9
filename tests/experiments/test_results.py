import json
import math
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wsss_lib.experiments import results

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"command": "python benchmarks/x.py", "fingerprint": "ab" * 32, "seeds": (0, 1, 2)}


def test_what_is_recorded_is_read_with_its_provenance(tmp_path, monkeypatch):
    import torch

    data = {"iou": torch.tensor([0.46123456789, 0.47]), "images": 400, "rule": "best on val", "none": None}
    path = results.record("cam-critters", data, folder=tmp_path, note="Threshold chosen on val.", **GIVEN)
    assert path == tmp_path / "cam-critters.json"
    monkeypatch.setattr(results, "_folders", lambda: [tmp_path])
    result = results.read("cam-critters")
    assert result["data"] == {"iou": [0.461235, 0.47], "images": 400, "rule": "best on val", "none": None}
    about = result["provenance"]
    assert about["command"] == "python benchmarks/x.py"
    assert about["data"] == "ab" * 32
    assert about["seeds"] == [0, 1, 2]
    assert about["versions"]["torch"] == torch.__version__.partition("+")[0] or about["versions"]["torch"]
    assert about["device"].startswith(("CPU, ", "one ", "2 "))
    assert about["peak_memory_mb"] > 10
    assert about["wall_seconds"] >= 0
    assert about["note"] == "Threshold chosen on val."
    assert about["commit"]
    assert results.names() == ["cam-critters"]


def git(*arguments, cwd=ROOT):
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone of one commit, taken for the one of the package."""
    (tmp_path / "wsss_lib").mkdir()
    (tmp_path / "wsss_lib" / "maps.py").write_text("A = 1\n")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
        monkeypatch.setenv(f"GIT_{name}_DATE", "2026-01-02T03:04:05+0000")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "Maps")):
        git(*arguments, cwd=tmp_path)
    monkeypatch.setattr(results, "_PACKAGE", tmp_path / "wsss_lib")
    return tmp_path


def test_the_commit_is_marked_where_the_code_differs(clone):
    name = git("rev-parse", "HEAD", cwd=clone)[:12]
    assert results.commit() == name
    assert results.origin()["sources"] == git("rev-parse", "HEAD:wsss_lib", cwd=clone)[:12]
    (clone / "wsss_lib" / "maps.py").write_text("A = 2\n")
    assert results.commit() == f"{name}+"
    assert "sources" not in results.origin()  # git's digest is not of what was measured


def test_the_origin_is_found_again_after_a_rebase(clone, monkeypatch):
    before = results.origin()
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-02-02T03:04:05+0000")
    git("commit", "-q", "--amend", "--no-edit", cwd=clone)  # what a rebase does: the same change by another name
    after = results.origin()
    assert after["commit"] != before["commit"]
    assert after["authored"] == before["authored"] == "2026-01-02T03:04:05+00:00 Maps"
    assert after["sources"] == before["sources"]


def test_without_a_clone_the_commit_is_said_to_be_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "_PACKAGE", tmp_path / "wsss_lib")
    assert results.origin() == {"commit": "unknown (not a clone)"}


def test_every_record_names_a_commit_of_the_history():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone: there is no history to look in")
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone has no history to look in: git fetch --unshallow")
    commits = [line.split(" ", 1) for line in git("log", "--format=%H %aI %s").splitlines()]
    known = {name[:12] for name, _ in commits} | {authored for _, authored in commits}
    lost = [
        name
        for name in results.names()
        for about in [results.read(name)["provenance"]]
        if not {about["commit"].rstrip("+")[:12], about.get("authored")} & known
    ]
    how = "while git still has one, put what `git log -1 --format='%aI %s' COMMIT` says into the record as `authored`"
    assert not lost, f"their commits are not in the history: {lost}; {how}"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match="NaN or an infinity"):
        results.record("x", {"iou": [value]}, folder=tmp_path, **GIVEN)
    assert not list(tmp_path.iterdir())


def test_objects_are_refused_by_their_place(tmp_path):
    with pytest.raises(ValueError, match=r"x\.rows\[1\] is a object"):
        results.record("x", {"rows": [1, object()]}, folder=tmp_path, **GIVEN)


@pytest.mark.parametrize("name", ["Cam", "a/b", "", "a.json", "-a"])
def test_names_are_plain(tmp_path, name):
    with pytest.raises(ValueError, match="rename the result"):
        results.record(name, {}, folder=tmp_path, **GIVEN)


def test_an_unknown_result_names_the_known(tmp_path, monkeypatch):
    results.record("cam", {}, folder=tmp_path, **GIVEN)
    monkeypatch.setattr(results, "_folders", lambda: [tmp_path])
    with pytest.raises(FileNotFoundError, match="'seam': choose from cam"):
        results.read("seam")


def test_mean_and_sample_deviation():
    assert results.mean_sd([1.0, 2.0, 3.0]) == "2.000 ± 1.000"  # the sample's s.d.; the population's is 0.816
    assert results.mean_sd([0.5]) == "0.500"
    assert results.mean_sd([0.25, 0.75], digits=1) == "0.5 ± 0.4"
    with pytest.raises(ValueError, match="one number per seed"):
        results.mean_sd([])


def test_every_recorded_result_can_be_read_and_says_where_it_comes_from():
    for name in results.names():
        result = results.read(name)
        assert result["name"] == name
        assert {"command", "commit", "data", "versions", "device", "seeds"} <= set(result["provenance"])


def test_results_travel_with_the_wheel(tmp_path):
    """Build the wheel of a small copy of the project, unpack it elsewhere, and read the result there."""
    uv = next((u for u in (ROOT / ".tools/bin/uv", shutil.which("uv")) if u and Path(u).exists()), None)
    if uv is None:
        pytest.skip("uv is not here: run `make env`")
    copy = tmp_path / "copy"
    (copy / "wsss_lib").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("__init__.py", "files.py", "memory.py", "experiments/__init__.py", "experiments/results.py"):
        (copy / "wsss_lib" / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "wsss_lib" / name, copy / "wsss_lib" / name)
    results.record("cam", {"iou": [0.4]}, folder=copy / "results", **GIVEN)
    build = [str(uv), "build", "--wheel", "--out-dir", str(tmp_path / "dist"), str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("the build backend cannot be fetched here (no package index)")
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = "import wsss_lib.experiments.results as r; print(r.__file__, r.read('cam')['data'])"
    command = [sys.executable, "-S", "-c", program]
    said = subprocess.run(command, cwd=tmp_path / "site", capture_output=True, text=True, check=True).stdout
    assert str(tmp_path / "site") in said
    assert "{'iou': [0.4]}" in said
    assert json.loads((tmp_path / "site/wsss_lib/_results/cam.json").read_text())["name"] == "cam"
