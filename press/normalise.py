"""Make an executed notebook diff cleanly: what is left is what the author wrote and what the code computed.

Idempotent: normalising twice changes nothing. ``wsss run`` applies it to what it writes, ``wsss check --fix`` to
what an editor saved.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

from press import cells
from wsss_lib.files import sha256_of_text

KEPT_METADATA = {
    "tags", "mystnb", "mirror", "derives", "role", "tolerance", "typed", "wrong", "right",
}  # fmt: skip
"""Cell metadata that somebody wrote on purpose; editors and runners add the rest (timings, folding, execution)."""

SHOWN = ("alt", "shows")
"""Metadata of a picture: what ``wsss_lib.figures.show`` says beside it."""

WIDGET = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
KERNEL_FILE = re.compile(r"(?<![\w./\\~-])(?:[A-Za-z]:)?[\w./\\~-]*ipykernel_\d+[/\\]\d+\.py")


def normalise(notebook: cells.Notebook, paths: Iterable[str] = ()) -> cells.Notebook:
    """A normalised copy.

    Cell ids are kept where valid and unique, else made from the cell's text; execution counts run from 1;
    neighbouring streams are joined; memory addresses, the kernel's temporary file names and given path prefixes are
    replaced; the state of widgets goes, because pages have no kernel; metadata is reduced to what an author means.

    Args:
        notebook: Any version 4 notebook.
        paths: Absolute path prefixes of this machine to hide in outputs, longest wins; each becomes ``…``.

    Returns:
        The copy, in format 4.5.
    """
    result = copy.deepcopy(notebook)
    result.cells = [cell for cell in result.cells if "injected-parameters" not in cells.tags(cell)]
    hidden = sorted({p for p in paths if len(p) > 1}, key=len, reverse=True)
    _metadata(result)
    _ids(result)
    count = 0
    for cell in result.cells:
        cell.metadata = {k: v for k, v in sorted(cell.metadata.items()) if k in KEPT_METADATA and v not in ({}, [])}
        _fold(cell)
        cell.source = cell.source.strip("\n")
        if cell.cell_type == "code":
            if cell.execution_count is not None:
                count += 1
                cell.execution_count = count
            cell.outputs = [_output(o, cell.execution_count, hidden) for o in _joined(cell.outputs)]
        cell.pop("attachments", None) if cell.get("attachments") == {} else None
    result.nbformat, result.nbformat_minor = 4, 5
    return result


def _fold(cell: Any) -> None:
    """What is folded on the page is folded in JupyterLab and on Colab too, and nothing else is."""
    if cell.cell_type == "code" and {"hide-input", "hide-cell"} & set(cells.tags(cell)):
        cell.metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}


def _metadata(notebook: cells.Notebook) -> None:
    """One kernel name for everybody; a GPU on Colab, because a reader who forgets it waits ten times longer."""
    notebook.metadata = {
        "accelerator": "GPU",
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }


def _ids(notebook: cells.Notebook) -> None:
    taken: set[str] = set()
    for cell in notebook.cells:
        name = cell.get("id", "")
        while not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or name in taken:
            name = sha256_of_text(f"{cell.cell_type}\0{cell.source}\0{name}")[:8]
        cell["id"] = name
        taken.add(name)


def _joined(outputs: Iterable[Any]) -> list[Any]:
    result: list[Any] = []
    for output in outputs:
        last = result[-1] if result else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def _output(output: Any, count: int | None, hidden: list[str]) -> Any:
    if output.output_type == "stream":
        output.text = _text(_overwritten(output.text), hidden)
    elif output.output_type in ("display_data", "execute_result"):
        if WIDGET in output.data:  # its state is not kept, so its random name leads nowhere
            output.data[WIDGET] = {"model_id": ""}
        for mime, data in output.data.items():
            if mime.startswith("text/") and isinstance(data, str):
                output.data[mime] = _text(data, hidden)
        output.metadata = {
            mime: {key: about[key] for key in SHOWN if about.get(key)}
            for mime, about in sorted(output.get("metadata", {}).items())
            if isinstance(about, dict) and about.get("alt")
        }
        if output.output_type == "execute_result":
            output.execution_count = count
    elif output.output_type == "error":
        output.traceback = [_text(line, hidden) for line in output.traceback]
    return output


def _overwritten(text: str) -> str:
    """What a terminal shows of lines that return to their start, as progress bars do: the last state only."""
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def _text(text: str, hidden: list[str]) -> str:
    text = KERNEL_FILE.sub("<cell>", text)
    for prefix in hidden:
        text = text.replace(prefix, "…")
    return ADDRESS.sub("0x…", text)
