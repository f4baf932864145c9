"""One list of classes for all parts and splits, by name; what cannot be united is refused with the way to unite it."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import torch
from fault_kit import encoded, patch, photo, refusal, rows_to_parquet
from torch import Tensor, nn

from wsss_lib import evaluate
from wsss_lib.data import Records, load

CELLS = {"cat": 0, "dog": 1, "owl": 2}


def typed_table(path: Path, names: list[str], shown: list[str]) -> Path:
    """Images of the classes ``shown``, stored as numbers under ``names``, as the Hub's ``ClassLabel`` stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_dict({
        "image": [photo(seed=i) for i in range(len(shown))],
        "label": [names.index(name) for name in shown],
    })  # fmt: skip
    table.cast_column("label", datasets.ClassLabel(names=names)).to_parquet(path)
    return path


def shown_in(records: Records) -> list[list[str]]:
    return [[records.classes[k] for k in row.nonzero().flatten().tolist()] for row in records.labels]


def test_parts_with_the_same_names_in_another_order_are_read_by_name(tmp_path: Path) -> None:
    parts = [
        typed_table(tmp_path / "a.parquet", ["cat", "dog", "owl"], ["cat", "owl"]),
        typed_table(tmp_path / "b.parquet", ["owl", "cat", "dog"], ["cat", "owl", "dog"]),
    ]
    records = load(parts)
    assert shown_in(records) == [["cat"], ["owl"], ["cat"], ["owl"], ["dog"]]


def test_splits_with_the_same_names_in_another_order_have_one_list(tmp_path: Path) -> None:
    typed_table(tmp_path / "birds" / "train.parquet", ["cat", "dog", "owl"], ["cat", "dog"])
    typed_table(tmp_path / "birds" / "val.parquet", ["owl", "cat", "dog"], ["cat", "dog"])
    train, val = (load(tmp_path / "birds", split=split) for split in ("train", "val"))
    assert train.classes == val.classes
    assert shown_in(val) == [["cat"], ["dog"]]


def test_spelt_labels_give_all_splits_of_a_folder_one_list(tmp_path: Path) -> None:
    rows_to_parquet(
        tmp_path / "birds" / "train.parquet", [{"image": photo(), "label": n} for n in ("cat", "dog", "owl")]
    )
    rows_to_parquet(tmp_path / "birds" / "val.parquet", [{"image": photo(), "label": n} for n in ("owl", "dog")])
    train, val = (load(tmp_path / "birds", split=split) for split in ("train", "val"))
    assert train.classes == val.classes == ("cat", "dog", "owl")
    assert shown_in(val) == [["owl"], ["dog"]]


def test_parts_with_other_names_are_refused(tmp_path: Path) -> None:
    parts = [
        typed_table(tmp_path / "a.parquet", ["cat", "dog"], ["cat"]),
        typed_table(tmp_path / "b.parquet", ["cat", "cow"], ["cow"]),
    ]
    refusal(lambda: load(parts), "b.parquet", "cow|dog", "classes|names")


class Everywhere(nn.Module):
    """A method without a backbone: half of the map for each class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.maps_of = classes

    def localize(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = torch.zeros(len(images), self.maps_of, *images.shape[-2:])
        maps[..., : images.shape[-1] // 2] = 1
        return maps


def masked(path: Path, names: list[str], seed: int) -> Records:
    rows = [{"image": photo(seed=seed + i), "mask": encoded(patch(k + 1)), "labels": [k]} for i, k in enumerate([0, 1])]
    return load(rows_to_parquet(path, rows), names=names)


@pytest.mark.parametrize("other", [["cat", "cow"], ["dog", "cat"]])
def test_scores_refuse_splits_with_other_class_lists(tmp_path: Path, other: list[str]) -> None:
    val = evaluate.measure(Everywhere(2), masked(tmp_path / "val.parquet", ["cat", "dog"], 0))
    test = evaluate.measure(Everywhere(2), masked(tmp_path / "test.parquet", other, 5))
    refusal(lambda: evaluate.scores(choose=val, report_on=test), "cat, dog|cat', 'dog|cow|order", "classes=|names=")


def test_a_method_on_other_classes_is_refused(tmp_path: Path) -> None:
    records = masked(tmp_path / "val.parquet", ["cat", "dog"], 0)
    refusal(lambda: evaluate.measure(Everywhere(3), records), "3", "2 classes")


def test_equal_lists_are_compared(tmp_path: Path) -> None:
    val = evaluate.measure(Everywhere(2), masked(tmp_path / "val.parquet", ["cat", "dog"], 0))
    test = evaluate.measure(Everywhere(2), masked(tmp_path / "test.parquet", ["cat", "dog"], 5))
    assert 0 < evaluate.scores(choose=val, report_on=test)["miou"] < 1


def test_words_that_another_list_knows_too_are_the_table_s_own(tmp_path: Path) -> None:
    """Cat and dog are classes of PASCAL VOC and of MS COCO; only masks are numbered as these number them."""
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "a.png").write_bytes(photo())
    (tmp_path / "pets.csv").write_text("image,label\npets/cat/a.png,cat\npets/dog/a.png,dog\n")
    rows = [{"image": photo(), "label": name} for name in ("cat", "dog")]
    for where in (tmp_path / "pets", tmp_path / "pets.csv", rows_to_parquet(tmp_path / "pets.parquet", rows)):
        assert load(where).classes == ("cat", "dog")
    masked_rows = [{**row, "mask": encoded(patch(value))} for row, value in zip(rows, (8, 12), strict=True)]
    records = load(rows_to_parquet(tmp_path / "masked.parquet", masked_rows))
    assert (len(records.classes), shown_in(records)) == (20, [["cat"], ["dog"]])
    assert [records[i]["mask"].max().item() for i in range(2)] == [8, 12]
    counted = [{**row, "mask": encoded(patch(value))} for row, value in zip(rows, (1, 2), strict=True)]
    path = rows_to_parquet(tmp_path / "counted.parquet", counted)
    refusal(lambda: load(path)[0], "shows 'aeroplane'", "names=")
    assert [load(path, names=["cat", "dog"])[i]["mask"].max().item() for i in range(2)] == [1, 2]
