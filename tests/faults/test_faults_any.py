"""Whatever stands in a table, a notebook, a parameter or a checkpoint: defined behaviour, or one clear sentence."""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import strategies
import torch
from fault_kit import check_refusal, read_all, value_or_refusal
from hypothesis import given
from test_faults_checkpoints import CONFIG, Noise, Small, trained

from press import cells, parameters
from wsss_lib.data import load
from wsss_lib.train import fit, restore

_count = itertools.count()


def check_sample(sample: Any, classes: int) -> None:
    """What every record promises."""
    image = sample["image"]
    assert image.dtype == torch.float32
    assert 0 <= float(image.min()) <= float(image.max()) <= 1
    assert set(sample["labels"].tolist()) <= {0.0, 1.0}
    assert sample["labels"].shape == (classes,)
    if "mask" in sample:
        assert sample["mask"].shape == image.shape[-2:]
        shown = set(sample["mask"].unique().tolist()) - {0, 255}
        assert all(1 <= value <= classes for value in shown)
        assert shown <= {k + 1 for k in sample["labels"].nonzero().flatten().tolist()}
    for left, top, right, bottom in sample.get("boxes", torch.zeros(0, 4)).tolist():
        assert 0 <= left < right <= image.shape[-1] + 0.5
        assert 0 <= top < bottom <= image.shape[-2] + 0.5
    assert len(sample.get("boxes", [])) == len(sample.get("box_labels", []))


@strategies.few
@given(made=strategies.tables())
def test_any_table(tmp_path: Path, made: tuple[pa.Table, dict[str, Any]]) -> None:
    strategies.tried()
    table, options = made
    path = tmp_path / f"birds{next(_count)}.parquet"
    pq.write_table(table, path)
    records = value_or_refusal(lambda: load(path, **options))
    if records is None:
        return
    value_or_refusal(lambda: records.labels)
    for i in range(len(records)):
        sample = value_or_refusal(lambda i=i: records[i])
        if sample is not None:
            check_sample(sample, len(records.classes))
    value_or_refusal(lambda: read_all(records))


@strategies.few
@given(text=strategies.notebooks())
def test_any_notebook(tmp_path: Path, text: str) -> None:
    strategies.tried()
    from press.normalise import normalise

    path = tmp_path / "01_birds.ipynb"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    notebook = value_or_refusal(lambda: cells.read(path))
    if notebook is None:
        return
    assert all(isinstance(tag, str) for cell in notebook.cells for tag in cells.tags(cell))
    list(cells.errors(notebook))
    [cells.label(notebook, cell) for cell in cells.code_cells(notebook)]
    value_or_named(lambda: parameters.declared(notebook, "01_birds"))
    cells.write(normalise(notebook), tmp_path / "again.ipynb")
    assert cells.read(tmp_path / "again.ipynb").nbformat == 4


def value_or_named(action: Callable[[], Any]) -> Any:
    """As ``value_or_refusal``, where the refusal is the press's own."""
    try:
        return action()
    except parameters.ParameterError as error:
        message = str(error)
    assert message
    assert "\n" not in message
    return None


@strategies.few
@given(source=strategies.parameter_cells, typed=strategies.parameter_texts)
def test_any_parameter(source: str, typed: list[str]) -> None:
    strategies.tried()
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    declared = value_or_named(lambda: parameters.declared(notebook, "01_birds"))
    given_ = value_or_named(lambda: parameters.from_arguments(typed))
    if declared is None or given_ is None:
        return
    values = value_or_named(lambda: parameters.resolve(notebook, "01_birds", given_))
    if values is not None:
        injected = parameters.inject(notebook, "01_birds", values)
        again = parameters.declared(injected, "01_birds")
        assert {key: repr(again[key]) for key in values} == {key: repr(value) for key, value in values.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A run of four steps, the two newest of whose checkpoints are kept, and its weights."""
    folder = tmp_path_factory.mktemp("run")
    return folder, {name: value.clone() for name, value in trained(folder).state_dict().items()}


@strategies.few
@given(which=strategies.st.integers(0, 30), damage=strategies.damages())
def test_any_checkpoint(
    tmp_path: Path, run: tuple[Path, dict[str, torch.Tensor]], which: int, damage: tuple[str, float, Any]
) -> None:
    strategies.tried()
    folder, weights = run
    copy = tmp_path / str(next(_count))
    shutil.copytree(folder, copy)
    files = sorted(path for path in (copy / "checkpoints").rglob("*") if path.is_file())
    strategies.inflict(files[which % len(files)], damage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step = value_or_refusal(lambda: restore(Small(), copy))
        assert step in (None, 3, 4)
        method = Small()
        try:
            fit(method, Noise(), CONFIG, out_dir=copy, progress="none")
        except Exception as error:
            check_refusal(error)
        else:
            assert all(torch.equal(weights[name], value) for name, value in method.state_dict().items())
