import json
import math
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wsss_lib.experiments import results

ROOT = Path(__file__).resolve().parents[1]
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


def test_the_commit_is_marked_where_the_code_differs(monkeypatch):
    answers = {"rev-parse": "0123456789ab", "status": ""}

    def git(command, **options):
        return subprocess.CompletedProcess(command, 0, answers[command[1]], "")

    monkeypatch.setattr(results.subprocess, "run", git)
    assert results.commit() == "0123456789ab"
    answers["status"] = " M wsss_lib/maps.py"
    assert results.commit() == "0123456789ab+"


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
