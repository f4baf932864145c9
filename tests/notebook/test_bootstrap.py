"""The bootstrap cell, run for real: in an environment that has torch and NumPy but not this library, as on Colab."""

import ast
import os
import subprocess
import venv
import zipfile
from pathlib import Path

import IPython
import pytest

from press import cells, first_cell
from wsss_lib import notebook

PACKAGE = Path(notebook.__file__).resolve().parent


def wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = (), package: Path | None = None) -> None:
    """A wheel by hand: the real package, or a module that only says where it comes from."""
    module = name.replace("-", "_")
    about = f"{module}-{version}.dist-info"
    metadata = "".join([f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", *requires])
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
        if package is None:
            archive.writestr(f"{module}.py", f"__version__ = {version!r}\n")
        for file in package.rglob("*.py") if package else ():
            archive.write(file, f"{module}/{file.relative_to(package).as_posix()}")


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """A bare environment with IPython, a "torch" and a "numpy" that must stay, and an index of three wheels."""
    home = tmp_path_factory.mktemp("colab")
    venv.create(home / "env", with_pip=True, symlinks=True)
    site = next((home / "env" / "lib").glob("python*/site-packages"))
    ours = Path(IPython.__file__).parents[1]
    for name in ("IPython", "traitlets", "pygments", "decorator.py", "jedi", "parso", "prompt_toolkit", "wcwidth",
                 "matplotlib_inline", "stack_data", "executing", "asttokens", "pure_eval", "pexpect", "ptyprocess",
                 "typing_extensions.py", "ipython_pygments_lexers.py", "psutil"):  # fmt: skip
        if (ours / name).exists():
            (site / name).symlink_to(ours / name)
    index = home / "index"
    index.mkdir()
    for name, version in (("torch", "2.11.0+cu128"), ("numpy", "2.1.3")):
        wheel(home, name, version)
    subprocess.run(
        [home / "env/bin/python", "-m", "pip", "install", "-q", "--no-index", *home.glob("*.whl")], check=True
    )
    wheel(index, "torch", "9.0")
    wheel(index, "numpy", "9.0")
    wheel(index, "timm", "1.0")
    requires = ("Requires-Dist: torch>=2.6\n", "Requires-Dist: numpy>=2\n", "Requires-Dist: timm>=0.9\n",
                'Requires-Dist: papermill>=2; extra == "book"\n')  # fmt: skip
    wheel(index, "wsss-lib", "0.1.0", requires, PACKAGE)

    def run(cell: str) -> subprocess.CompletedProcess[str]:
        program = (
            "import sys, types, torch, numpy\n"
            "torch.cuda = torch.backends = types.SimpleNamespace(is_available=lambda: False)\n"
            "torch.backends.mps = torch.cuda; torch.device = lambda n: types.SimpleNamespace(type=n)\n"
            "from IPython.core.interactiveshell import InteractiveShell\n"
            "shell = InteractiveShell.instance()\n"
            f"result = shell.run_cell({cell!r})\n"
            "import importlib.metadata as m\n"
            "print('VERSIONS', m.version('torch'), m.version('numpy'), m.version('timm'))\n"
            "sys.exit(not result.success)\n"
        )
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
        return subprocess.run(
            [home / "env/bin/python", "-c", program], capture_output=True, text=True, env=environment, cwd=home
        )

    return run, index


def test_it_installs_the_library_and_what_is_missing_and_leaves_torch_and_numpy_alone(colab):
    run, _ = colab
    done = run(first_cell.source("01_cam"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VERSIONS 2.11.0+cu128 2.1.3 1.0" in done.stdout
    assert "Chapter 01_cam on the CPU" in done.stdout


def test_it_refuses_to_replace_torch_for_the_sake_of_a_missing_package(colab):
    run, index = colab
    run(first_cell.source("01_cam"))
    wheel(index, "timm", "2.0", ("Requires-Dist: torch>=9\n",))
    done = run(
        "%pip uninstall -q -y timm\nimport wsss_lib.notebook as b\n"
        "b.missing = lambda distribution: ['timm>=2']\nb.install_missing()"
    )
    assert "pip could not install timm>=2 beside the torch and NumPy of this kernel (ERROR: " in done.stdout
    assert "No package metadata was found for timm" in done.stderr, "nothing was installed"


def test_it_does_nothing_where_the_library_is(monkeypatch, capsys):
    def never(*arguments, **options):
        raise AssertionError("installed something")

    monkeypatch.setattr(notebook.subprocess, "run", never)
    source = first_cell.source("01_cam").replace("%pip install", "never() #")
    exec(compile(source, "cell", "exec"), {"never": never})
    assert "Chapter 01_cam" in capsys.readouterr().out


def test_only_absent_packages_are_missing(monkeypatch):
    required = ["numpy>=2", "no-such-package>=1 ; python_version > '3'", "other; extra == 'book'"]
    monkeypatch.setattr(notebook.importlib.metadata, "requires", lambda name: required)
    assert notebook.missing() == ["no-such-package>=1"]


def test_constraints_name_public_versions(monkeypatch):
    monkeypatch.setattr(notebook.importlib.metadata, "version", lambda name: "2.11.0+cu128")
    assert "torch==2.11.0" in notebook.constraints()
    assert len(notebook.constraints()) == len(notebook.HELD)


def test_the_text_is_python_names_the_chapter_and_no_address():
    text = first_cell.source("02_eigen_cam")
    assert ast.parse(cells.python(text))
    assert text.endswith('begin(chapter="02_eigen_cam")')
    assert "http" not in text
    assert "git+" not in text
