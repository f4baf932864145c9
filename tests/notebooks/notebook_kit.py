"""A tiny clone: chapters of a few cells, executed by the kernel of this environment."""

from pathlib import Path

import nbformat

from wsss_lib.notebooks import bootstrap, cells

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
        tags = {"tags": list(bootstrap.TAGS)}
        made.append(nbformat.v4.new_code_cell(bootstrap.source(name), id="bootstrap", metadata=tags))
    if parameters is not None:
        made.append(nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}))
    for k, code in enumerate(codes):
        text, metadata = code if isinstance(code, tuple) else (code, {})
        made.append(nbformat.v4.new_code_cell(text, id=f"code-{k}", metadata=metadata))
    return nbformat.v4.new_notebook(cells=made)


def skeleton(root: Path) -> Path:
    (root / "book" / "chapters").mkdir(parents=True)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/welcome\n")
    (root / "wsss_lib").mkdir()
    (root / "wsss_lib" / "maps.py").write_text("A = 1\n")
    (root / "uv.lock").write_text("version = 1\n")
    (root / "results").mkdir()
    (root / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/o/r/"\n')
    return root


def put(root: Path, name: str, *codes: object, **options: object) -> Path:
    path = root / "book" / "chapters" / f"{name}.ipynb"
    cells.write(notebook(name, *codes, **options), path)
    return path
