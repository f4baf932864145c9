import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsss_lib import cli

ROOT = Path(__file__).resolve().parents[1]


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from wsss_lib.cli import main; sys.exit(main())", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd or ROOT, env=environment, check=False)


def test_help_teaches_with_examples_and_exit_codes():
    done = call("--help")
    assert done.returncode == 0
    assert "wsss run cam eigen_cam --profile smoke" in done.stdout
    assert "exit codes: 0 all went well; 1 a chapter, a check or the work itself failed; 2" in done.stdout


@pytest.mark.parametrize("command", ["run", "build", "check", "edition", "localize", "pipeline", "data"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "exit codes: 0" in text
    assert f"wsss {command}" in text


def test_help_is_quick_because_nothing_heavy_is_imported():
    program = (
        "import sys, time; from wsss_lib.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'papermill', 'nbformat', 'matplotlib', 'datasets', 'yaml', 'IPython'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)), 'TOOK', time.process_time())"
    )
    best = 9.0
    for _ in range(3):  # of the process alone, and the best of three: the machine may be busy
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
        assert "HEAVY []" in done.stdout
        best = min(best, float(done.stdout.split()[-1]))
    assert best < 0.3


def test_no_command_is_a_usage_error_that_shows_the_help(capsys):
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_outside_a_clone_one_sentence_says_what_to_do(tmp_path):
    for command in (["run"], ["build"], ["check"], ["edition", "--student", "out"]):
        done = call(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert (
            done.stderr
            == "wsss: no book was found in this folder or above it: call `wsss` from inside a clone of the book\n"
        )
        assert done.stdout == ""


def test_without_the_press_the_books_commands_say_where_they_live(monkeypatch, capsys):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **group: ())
    for command in cli.OF_THE_BOOK:
        assert cli.main([command, "--jobs", "1"]) == 2
        sentence = f"wsss: `wsss {command}` needs a clone of the book: call it there after `make env`\n"
        assert capsys.readouterr().err == sentence
    assert cli.main(["data", "show", "critters"]) == 0


def test_a_refused_parameter_is_a_usage_error(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.main(["run", "-p", "seed"]) == 2
    assert capsys.readouterr().err == "wsss: -p 'seed' was given, expected name=value, for example -p seed=1\n"


@pytest.mark.parametrize("arguments", [["run", "--jobs", "0"], ["run", "--profile", "fast"], ["fly"], ["data"]])
def test_what_argparse_refuses_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["run", "--profile", "smok"], "smoke"), (["chek"], "check"), (["run", "--profile", "x"], "")],
)
def test_a_misspelt_choice_gets_the_nearest(arguments, meant, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert (f"did you mean '{meant}'?" in capsys.readouterr().err) == bool(meant)


def test_failures_and_problems_are_exit_code_1(capsys, monkeypatch):
    from types import SimpleNamespace

    from press.check import everything as check
    from press.publish import build
    from press.run import run

    monkeypatch.chdir(ROOT)
    for failure, code in (("", 0), ("01_cam failed", 1)):
        monkeypatch.setattr(run, "run", lambda *a, f=failure, **k: [SimpleNamespace(failure=f)])
        assert cli.main(["run"]) == code
    for problems, code in (([], 0), (["01_cam: is not normalised"], 1)):
        monkeypatch.setattr(check, "check", lambda *a, p=problems, **k: p)
        assert cli.main(["check"]) == code
    for page, code in ((Path("index.html"), 0), (None, 1)):
        monkeypatch.setattr(build, "build", lambda *a, p=page, **k: p)
        assert cli.main(["build"]) == code
    assert "Open index.html" in capsys.readouterr().out


def test_options_reach_the_runner(monkeypatch, tmp_path):
    from press.run import run

    received = {}
    monkeypatch.setattr(run, "run", lambda root, names, **options: received.update(options, names=names) or [])
    monkeypatch.chdir(ROOT)
    cli.main(["run", "cam", "2", "--profile", "smoke", "-p", "seed=1", "-p", "data=x", "--jobs", "1",
              "--out", str(tmp_path), "--timeout", "9"])  # fmt: skip
    assert received == {
        "names": ["cam", "2"], "profile": "smoke", "given": {"seed": "1", "data": "x"}, "jobs": 1, "out": tmp_path,
        "store": "no", "timeout": 9,
    }  # fmt: skip


def test_the_checks_are_listed(capsys):
    assert cli.main(["check", "--list"]) == 0
    assert "parameters_cell" in capsys.readouterr().out


def test_defects_are_not_dressed_up_as_advice(monkeypatch):
    def broken(*arguments, **options):
        raise AttributeError("a defect")

    monkeypatch.setattr("press.project.find_root", broken)
    with pytest.raises(AttributeError):
        cli.main(["build"])


def test_an_error_that_another_package_worded_says_how_to_see_more(monkeypatch, capsys):
    import json

    monkeypatch.delenv("WSSS_TRACEBACK", raising=False)
    monkeypatch.setattr("press.project.find_root", lambda: json.loads("no json"))
    assert cli.main(["build"]) == 1
    assert capsys.readouterr().err.endswith("(WSSS_TRACEBACK=1 shows where)\n")
    monkeypatch.setenv("WSSS_TRACEBACK", "1")
    with pytest.raises(json.JSONDecodeError):
        cli.main(["build"])


def test_critters_are_kept_in_no_other_folder_and_have_three_splits(capsys, tmp_path):
    assert cli.main(["data", "prepare", "critters", "--root", str(tmp_path)]) == 1
    assert "WSSS_CACHE" in capsys.readouterr().err
    assert cli.main(["data", "prepare", "critters", "--split", "tra"]) == 1
    assert "choose among train, val, test" in capsys.readouterr().err


def test_a_package_that_is_absent_is_named_with_the_remedy(monkeypatch, capsys):
    def absent(*arguments, **options):
        raise ModuleNotFoundError("No module named 'papermill'", name="papermill")

    monkeypatch.setattr("press.project.find_root", absent)
    assert cli.main(["build"]) == 1
    assert capsys.readouterr().err == (
        "wsss: the package 'papermill' is not installed: run `make env` in a clone of the book\n"
    )


def test_data_sets_are_listed_and_shown(capsys, tmp_path):
    assert cli.main(["data", "list", "--root", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "voc2012" in listed
    assert "nothing here (of train, val" in listed
    assert cli.main(["data", "show", "voc2012", "--root", str(tmp_path)]) == 0
    assert "licence:" in capsys.readouterr().out
    assert cli.main(["data", "show", "critters"]) == 0
    assert "body_evidence" in capsys.readouterr().out


def test_an_unknown_data_set_names_the_known(capsys):
    assert cli.main(["data", "show", "voc"]) == 1
    assert "choose one of voc2012" in capsys.readouterr().err
    assert cli.main(["data", "prepare", "voc"]) == 1
    assert "choose one of voc2012" in capsys.readouterr().err


def test_options_reach_the_localiser_and_its_findings_are_told(monkeypatch, capsys, tmp_path):
    from wsss_lib import localize

    received = {}

    def localise(images, **options):
        received.update(options, images=images)
        cat = {"class": "tabby", "score": 0.631, "boxes": [[1.0, 2.0, 30.0, 40.0], [5.0, 6.0, 7.0, 8.0]]}
        return [{"image": "cat.jpg", "objects": [cat, {"class": "salient", "score": None, "boxes": []}]}]

    monkeypatch.setattr(localize, "localize_images", localise)
    arguments = "localize cat.jpg --method eigencam --top 2 --boxes all --weights w --class zebra --threshold 0.3"
    assert cli.main([*arguments.split(), "--multi-scale", "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert received == {
        "images": [Path("cat.jpg")], "method": "eigencam", "checkpoint": None, "backbone": None, "weights": Path("w"),
        "out": tmp_path, "top_k": 2, "classes": ["zebra"], "threshold": 0.3, "which": "all", "multi_scale": True,
        "device": "cpu", "progress": True,
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "cat.jpg: tabby 0.63 at (1 2 30 40), (5 6 7 8)\ncat.jpg: salient at nowhere\n" in printed


def test_a_method_that_is_in_no_registry_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["localize", "cat.jpg", "--method", "gradcan"])
    assert stop.value.code == 2
    assert "did you mean 'gradcam'?" in capsys.readouterr().err


def test_a_photo_that_is_not_there_is_told_in_a_sentence(capsys, tmp_path):
    assert cli.main(["localize", str(tmp_path / "none.jpg"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("wsss: ")
    assert not (tmp_path / "out").exists()


def test_a_console_without_the_letters_of_a_name_shows_them_escaped(tmp_path):
    name = str(tmp_path / "写真.jpg")
    command = [sys.executable, "-c", "import sys; from wsss_lib.cli import main; sys.exit(main())", "localize", name]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wsss: There is no photo {tmp_path}/\\u5199\\u771f.jpg: give the path of an image")


def test_a_line_leaves_in_one_piece(monkeypatch):
    """As a launcher starts its processes, unbuffered: their lines on one pipe must not run into each other."""
    writes = []

    class Pipe(io.RawIOBase):
        def writable(self):
            return True

        def write(self, piece):
            writes.append(bytes(piece))
            return len(piece)

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Pipe(), encoding="utf-8", write_through=True))
    assert cli.main(["data", "list"]) == 0
    assert len(writes) > 3
    assert all(piece.endswith(b"\n") for piece in writes)
