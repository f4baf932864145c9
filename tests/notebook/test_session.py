import subprocess
import sys

import pytest

from wsss_lib.notebook import begin, say


def test_begin_says_device_versions_and_the_limits_of_profiles(capsys):
    begin(chapter="01_cam")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Chapter 01_cam on ")
    assert "torch " in lines[1]
    assert "numpy " in lines[1]
    limits = "at most 2 min on two CPU cores · smoke: at most 20 s · colab: at most 15 min on one T4"
    assert lines[2] == f"Profile book: {limits}"
    assert len(lines) == 3


def test_begin_advises_a_gpu_on_colab_only(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    begin(chapter="01_cam")
    assert "Change runtime type" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cam", "1_cam", "01_cam.ipynb", ""])
def test_begin_refuses_what_is_no_chapter(name):
    with pytest.raises(ValueError, match="notebook's own name"):
        begin(chapter=name)


def test_say_displays_markdown_without_the_codes_indentation(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    say(f"""
        The mean is **{0.4567:.2f}**.

        - a list
    """)
    assert shown[0].data == "The mean is **0.46**.\n\n- a list"


def test_a_readers_kernel_needs_nothing_of_the_book():
    program = "import sys, wsss_lib.notebook as n; n.begin; print([m for m in sys.modules if m.split('.')[0] in %r])"
    heavy = ["papermill", "nbformat", "nbclient", "sphinx", "torch", "IPython", "yaml"]
    done = subprocess.run([sys.executable, "-c", program % heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
