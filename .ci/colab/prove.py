"""`make colab`: do the wheel and a chapter work with what Colab ships now, and with its pinned past runtimes?

    python .ci/colab/prove.py                     resolve under every runtime; run a chapter under the oldest and newest
    python .ci/colab/prove.py --run 2025.10       run it under this one instead
    python .ci/colab/prove.py --record            also write results/colab.json, which the page on Colab shows

Each file beside this one names a runtime: its Python, and the versions of everything the library needs. The chapter is
run as on Colab: an environment with the runtime's packages and without wsss_lib, the notebook's own first cell to
install it (pip finds the fresh wheel, nothing else is new), profile smoke, everything kept in one folder. It must run
to its end, and no package that was there may have changed. What this does not prove: a GPU, Colab's front end, a real
Drive. Environments live in a temporary folder and go with it; each takes some GB while it lasts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
UV = Path(os.environ.get("UV") or ROOT / ".tools" / "bin" / "uv")
RUNNER = ("nbclient>=0.10", "nbformat", "pip")
"""What executes the notebook; Colab has all three."""

EXECUTE = """\
import sys, nbclient, nbformat
source, target, folder = sys.argv[1:]
notebook = nbformat.read(source, 4)
client = nbclient.NotebookClient(notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": folder}})
client.execute()
nbformat.write(notebook, target)
"""


def runtimes() -> dict[str, Path]:
    """The files by the runtime's name, oldest first."""
    return {path.stem: path for path in sorted(HERE.glob("20*.txt"))}


def python_of(path: Path) -> str:
    """The Python that a runtime has, such as ``3.11``."""
    version = re.search(r"^# python: (\d+\.\d+)$", path.read_text(encoding="utf-8"), re.M)
    if version is None:
        raise SystemExit(f"{path.name} does not say which Python it has: add a line `# python: 3.x`")
    return version[1]


def pins(path: Path) -> dict[str, str]:
    """Versions by package."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==") for line in lines if line)


def build(folder: Path) -> Path:
    """The wheel of this working tree."""
    _call([str(UV), "build", "-q", "--wheel", "-o", str(folder), str(ROOT)])
    return next(folder.glob("wsss_lib-*.whl"))


def resolve(runtime: Path, wheel: Path) -> int:
    """The number of packages that the wheel needs under the runtime's versions; none of these may be moved."""
    command = [str(UV), "pip", "compile", "-q", "--no-header", "--no-annotate", "--python-version", python_of(runtime)]
    text = _call([*command, "-c", str(runtime), "-"], stdin=f"wsss-lib @ {wheel.as_uri()}")
    resolved = dict(line.split("==") for line in text.splitlines() if "==" in line)
    moved = {name: resolved[name] for name, version in pins(runtime).items() if resolved.get(name, version) != version}
    if moved:
        raise RuntimeError(f"the runtime's packages would be replaced: {moved}")
    return len(resolved)


def run(runtime: Path, wheel: Path, chapter: str, work: Path) -> float:
    """Seconds that the chapter takes in an environment as the runtime's, its own first cell installing the wheel."""
    environment = work / runtime.stem
    _call([str(UV), "venv", "-q", "--python", python_of(runtime), str(environment)])
    python = str(environment / "bin" / "python")
    exact = [f"{name}=={version}" for name, version in pins(runtime).items()]
    _call([str(UV), "pip", "install", "-q", "--python", python, *exact, *RUNNER])
    _call([python, "-m", "ipykernel", "install", "--sys-prefix"])
    before = _freeze(python)
    if any(name.startswith("wsss") for name in before):
        raise RuntimeError("wsss_lib is there before the chapter's first cell installs it")
    kept, empty = work / f"{runtime.stem}-kept", work / f"{runtime.stem}-empty"
    empty.mkdir()
    (work / "execute.py").write_text(EXECUTE, encoding="utf-8")
    source = work / f"{runtime.stem}.ipynb"
    source.write_text(json.dumps(as_reader(chapter, kept)), encoding="utf-8")
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER", "IPYTHON", "WSSS", "VIRTUAL"))
    }
    clean |= {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PIP_FIND_LINKS": str(wheel.parent)}
    clean |= {"IPYTHONDIR": str(work / "ipython"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    started = time.monotonic()
    _call([python, str(work / "execute.py"), str(source), str(work / "out.ipynb"), str(empty)], env=clean)
    seconds = time.monotonic() - started
    after = _freeze(python)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    if changed != {"wsss-lib"}:
        raise RuntimeError(f"expected that wsss-lib alone is new, but these changed: {', '.join(sorted(changed))}")
    if not any(path.is_file() for path in (kept / "cache").rglob("*")):
        raise RuntimeError("nothing was kept in the folder that the reader named")
    left = [path.name for path in empty.iterdir()]
    if left:
        raise RuntimeError(f"the chapter left {', '.join(left)} where it ran, expected everything in the named folder")
    return seconds


def as_reader(chapter: str, kept: Path) -> dict[str, object]:
    """The notebook as a reader on Colab changes it: profile smoke, and a cell that names a folder to keep things in."""
    notebook = json.loads((ROOT / "book" / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    place = next(i for i, cell in enumerate(notebook["cells"]) if "parameters" in cell["metadata"].get("tags", []))
    text = "".join(notebook["cells"][place]["source"])
    notebook["cells"][place]["source"] = re.sub(r'^profile = "\w+"', 'profile = "smoke"', text, flags=re.M)
    mine = f"from wsss_lib.notebook import keep_in\n\nout_dir = keep_in({str(kept)!r})"
    cell = {"cell_type": "code", "id": "keep", "metadata": {}, "outputs": [], "execution_count": None, "source": mine}
    notebook["cells"].insert(place + 1, cell)
    return notebook


def _freeze(python: str) -> dict[str, str]:
    listed = json.loads(_call([str(UV), "pip", "list", "-q", "--python", python, "--format", "json"]))
    return {package["name"].lower().replace("_", "-"): package["version"] for package in listed}


def _call(command: list[str], *, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise RuntimeError(f"`{' '.join(command[:4])} …` failed:\n{tail}")
    return done.stdout


def main() -> int:
    known = runtimes()
    parser = argparse.ArgumentParser(description="Does the book work with the versions that Colab ships?")
    parser.add_argument("--run", nargs="*", choices=known, default=[min(known), max(known)], help="run a chapter here")
    parser.add_argument("--chapter", default="00_world", help="which one (default: 00_world)")
    parser.add_argument("--record", action="store_true", help="write results/colab.json")
    given = parser.parse_args()
    rows, failed = {}, False
    with tempfile.TemporaryDirectory(prefix="wsss-colab-") as folder:
        work = Path(folder)
        wheel = build(work / "dist")
        for name, path in known.items():
            row = rows[name] = {"python": python_of(path), "pins": pins(path)}
            try:
                row["packages"] = resolve(path, wheel)
                if name in given.run:
                    row |= {"chapter": given.chapter, "seconds": round(run(path, wheel, given.chapter, work))}
            except RuntimeError as error:
                row["error"], failed = str(error), True
            ran = f"{row['chapter']} ran in {row['seconds']} s" if "seconds" in row else "not run"
            print(
                f"{name}  Python {row['python']}  torch {row['pins']['torch']}  {row.get('error') or ran}", flush=True
            )
    if given.record and not failed:
        sys.path.insert(0, str(ROOT))
        from wsss_lib.experiments import results

        note = "resolved everywhere; where seconds stand, a chapter ran too (profile smoke, CPU); "
        note += "no GPU, no Colab front end"
        command = "make colab"
        results.record("colab", {"runtimes": rows}, command=command, fingerprint="critters", seeds=[0], note=note)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
