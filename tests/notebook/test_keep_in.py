"""Keeping data and checkpoints in a folder that outlives the session."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from wsss_lib import notebook
from wsss_lib.data.photos.folders import home
from wsss_lib.experiments.profiles import PROFILES
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.files import cache_folder
from wsss_lib.notebook import keep_in


@pytest.fixture
def session(monkeypatch):
    """A session in which nothing is loaded yet, and whose environment is put back afterwards."""
    for variable in notebook.KEPT:
        monkeypatch.setenv(variable, "elsewhere")
    monkeypatch.setattr(notebook, "_hub_is_loaded", lambda: False)


def test_everything_goes_into_the_folder(session, tmp_path, capsys):
    out_dir = keep_in(tmp_path / "masks")
    assert out_dir == str(tmp_path / "masks" / "checkpoints")
    assert home() == tmp_path / "masks" / "data"
    assert cache_folder() == tmp_path / "masks" / "cache"
    assert os.environ["TORCH_HOME"] == str(tmp_path / "masks" / "torch")
    assert all((tmp_path / "masks" / name).is_dir() for name in (*notebook.KEPT.values(), "checkpoints"))
    assert str(tmp_path / "masks") in capsys.readouterr().out


def test_twice_is_as_once(session, tmp_path, monkeypatch):
    first = keep_in(tmp_path)
    monkeypatch.setattr(notebook, "_hub_is_loaded", lambda: True)
    assert keep_in(tmp_path) == first


def test_a_drive_that_is_not_mounted_is_no_place_to_keep_things(session, tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "MOUNTED", tmp_path / "drive")
    with pytest.raises(RuntimeError, match=r"drive\.mount"):
        keep_in(tmp_path / "drive" / "MyDrive" / "masks")
    assert not (tmp_path / "drive").exists()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "drive")
    assert keep_in(tmp_path / "drive" / "MyDrive" / "masks").startswith(str(tmp_path / "drive"))


def test_too_late_is_said(session, tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "_hub_is_loaded", lambda: True)
    with pytest.raises(RuntimeError, match="restart the session"):
        keep_in(tmp_path)


def test_the_chapters_own_import_loads_nothing_that_would_be_too_late(tmp_path):
    program = "import sys; from wsss_lib.notebook import begin, keep_in; begin(chapter='01_cam'); keep_in(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "are kept in" in done.stdout


def test_a_run_that_was_cut_off_goes_on_where_it_was(session, tmp_path, monkeypatch):
    monkeypatch.setitem(PROFILES, "colab", replace(PROFILES["colab"], train=64, rest=12))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def trained(out_dir, epochs=2):
        lab = Workbench(profile="colab", out_dir=out_dir, device="cpu")
        method = lab.classifier()
        lab.fit(method, epochs=epochs, checkpoint_every=1)
        return method

    unbroken = trained(keep_in(tmp_path / "unbroken"))
    out_dir = keep_in(tmp_path / "broken")
    steps = 0
    step = torch.optim.AdamW.step

    def cut(self, *given, **named):
        nonlocal steps
        steps += 1
        if steps == 3:
            raise ConnectionError("the runtime has gone")
        return step(self, *given, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", cut)
    with pytest.raises(ConnectionError):
        trained(out_dir)
    resumed = trained(out_dir)
    assert steps == 3 + 2, "of four steps two were kept, so two are left"
    for mine, theirs in zip(resumed.state_dict().values(), unbroken.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
