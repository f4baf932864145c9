"""A tiny clone: chapters of a few cells, executed by the kernel of this environment or as if they had been."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat

from press import cells, first_cell

PARAMETERS = """\
profile = "book"  # smoke, book, colab or paper
seed = 0
data = "critters"
backbone = "tiny_cnn"
device = "auto"
out_dir = "out"\
"""


def notebook(name: str, *codes: object, parameters: str | None = PARAMETERS, begin: bool = True) -> cells.Notebook:
    """A chapter: title, bootstrap cell, parameters cell, then one code cell a text (or (text, metadata) pair)."""
    made = [nbformat.v4.new_markdown_cell(f"# {name}", id="title")]
    if begin:
        tags = {"tags": list(first_cell.TAGS)}
        made.append(nbformat.v4.new_code_cell(first_cell.source(name), id="bootstrap", metadata=tags))
    if parameters is not None:
        made.append(nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}))
    for k, code in enumerate(codes):
        text, metadata = code if isinstance(code, tuple) else (code, {})
        made.append(nbformat.v4.new_code_cell(text, id=f"code-{k}", metadata=metadata))
    return nbformat.v4.new_notebook(cells=made)


def executed(made: cells.Notebook, outputs: Mapping[str, list[object]]) -> cells.Notebook:
    """The same notebook as a run would leave it: counts from 1, and these outputs by the id of their cell."""
    for count, cell in enumerate(cells.code_cells(made), 1):
        cell.execution_count = count
        cell.outputs = list(outputs.get(cell.id, []))
    return made


def lay(root: Path, files: Mapping[str, str]) -> Path:
    """Write files, folders made where they are absent."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def skeleton(root: Path) -> Path:
    """What ``find_root`` and ``run`` need of a clone, in a folder."""
    for name in ("book/chapters", "results"):
        (root / name).mkdir(parents=True)
    files = {
        "_toc.yml": "format: jb-book\nroot: book/welcome\n",
        "wsss_lib/maps.py": "A = 1\n",
        "uv.lock": "version = 1\n",
    }
    return lay(root, files | {"pyproject.toml": '[project.urls]\nRepository = "https://example.org/o/r/"\n'})


def put(root: Path, name: str, *codes: object, **options: object) -> Path:
    path = root / "book" / "chapters" / f"{name}.ipynb"
    cells.write(notebook(name, *codes, **options), path)
    return path


def as_text(problems: Iterable[object]) -> str:
    """What checks say, a line a problem."""
    return "\n".join(map(str, problems))
