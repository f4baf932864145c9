"""Samples stack to batches, whatever their sizes; subsets and shuffles are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wsss_lib.data import Batch, Records, Sample, batches, collate, to_device
from wsss_lib.data.records import FIELDS, Field, check_same_classes, positions, register_field, unpadded_batches
from wsss_lib.data.transforms import RandomFlip


class Numbers(Records):
    """Records whose i-th image is filled with i / 100."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.name, self.split, self.classes, self.fingerprint = "numbers", "train", ("a", "b"), "f" * 64
        self.sizes = sizes
        self.decoded = 0

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Sample:
        self.decoded += 1
        height, width = self.sizes[index]
        return {
            "image": torch.full((3, height, width), index / 100),
            "labels": torch.tensor([float(index % 2), 1.0]),
            "mask": torch.full((height, width), index % 3),
            "parts": torch.full((height, width), 2),
            "boxes": torch.tensor([[0.0, 0, width, height]]).repeat(index % 3, 1),
            "box_labels": torch.zeros(index % 3, dtype=torch.int64),
            "objects": [{"species": index}],
            "id": f"n{index}",
        }


SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=5)


@given(SIZES)
@settings(max_examples=40, deadline=None)
def test_collate_pads_right_and_bottom(sizes: list[tuple[int, int]]) -> None:
    samples = [Numbers(sizes)[i] for i in range(len(sizes))]
    batch = collate(samples)
    tallest, widest = max(h for h, _ in sizes), max(w for _, w in sizes)
    assert batch["images"].shape == (len(sizes), 3, tallest, widest)
    assert batch["sizes"] == sizes
    assert batch["ids"] == [f"n{i}" for i in range(len(sizes))]
    for i, (height, width) in enumerate(sizes):
        inside = torch.zeros(tallest, widest, dtype=torch.bool)
        inside[:height, :width] = True
        assert torch.allclose(batch["images"][i], torch.tensor(i / 100), atol=1e-6), "padded with the image's own mean"
        assert (batch["masks"][i][inside] == i % 3).all()
        assert (batch["masks"][i][~inside] == 255).all()
        assert (batch["parts"][i][inside] == 2).all()
        assert (batch["parts"][i][~inside] == 0).all()
        assert batch["boxes"][i].shape == (i % 3, 4)
        assert batch["objects"][i] == [{"species": i}]
    assert torch.equal(batch["labels"], torch.stack([s["labels"] for s in samples]))


def test_padding_is_the_mean_colour_and_leaves_the_image_alone() -> None:
    image = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(0))
    small: Sample = {"image": image, "labels": torch.ones(1), "id": "s"}
    large: Sample = {"image": torch.zeros(3, 3, 4), "labels": torch.ones(1), "id": "l"}
    images = collate([small, large])["images"]
    assert torch.equal(images[0, :, :2, :2], image)
    assert torch.allclose(images[0, :, 2], image.mean((1, 2))[:, None].expand(3, 4), atol=1e-6)


def test_fields_that_a_data_set_lacks_stay_absent() -> None:
    batch = collate([{"image": torch.zeros(3, 2, 2), "labels": torch.ones(1), "id": "x"}])
    assert set(batch) == {"images", "labels", "sizes", "ids"}


def test_an_image_without_a_mask_beside_others_is_ignored_everywhere() -> None:
    masked: Sample = {
        "image": torch.zeros(3, 2, 3),
        "labels": torch.ones(1),
        "id": "m",
        "mask": torch.ones(2, 3).long(),
    }
    plain: Sample = {"image": torch.zeros(3, 3, 2), "labels": torch.ones(1), "id": "p"}
    for pair in ([masked, plain], [plain, masked]):
        masks = collate(pair)["masks"]
        assert masks.dtype == torch.int64
        assert (masks[pair.index(plain)] == 255).all()
        assert (masks[pair.index(masked), :2] == 1).all()


def test_samples_that_contradict_one_another_or_themselves_are_refused() -> None:
    sample = Numbers([(2, 3)])[0]
    without = Sample(**{k: v for k, v in sample.items() if k != "boxes"})  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match="'boxes' is missing in n0"):
        collate([sample, without])
    many = [Sample(**{**without, "id": f"m{i}"}) for i in range(9)]  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match="'boxes' is missing in m0, m1, m2 beside"):
        collate([sample, *many])
    with pytest.raises(ValueError, match=r"planes of n0 differ in size.*resize"):
        collate([{**sample, "mask": torch.zeros(3, 2, dtype=torch.int64)}])
    with pytest.raises(ValueError, match=r"'depth'.*register_field"):
        collate([{**sample, "depth": torch.zeros(2, 3)}])  # type: ignore[typeddict-unknown-key]
    with pytest.raises(ValueError, match=r"'depth'.*register_field"):
        RandomFlip()({**sample, "depth": torch.zeros(2, 3)})  # type: ignore[typeddict-unknown-key]


def test_rules_that_many_share_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError, match="fill"):
        FIELDS["mask"].fill = 0  # type: ignore[misc]


def test_a_new_field_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsss_lib.data.fields.FIELDS", dict(FIELDS))
    edges = Field("edge_maps", "padded", fill=9, moves="plane")
    register_field("edges", edges)
    register_field("edges", edges)
    rows = [{**Numbers([(2, 2), (3, 4)])[i], "edges": torch.full((2 + i, 2 * i + 2), i)} for i in range(2)]
    batch = collate(rows)  # type: ignore[arg-type]
    assert batch["edge_maps"].tolist()[0] == [[0, 0, 9, 9], [0, 0, 9, 9], [9, 9, 9, 9]]  # type: ignore[typeddict-item]
    for name, field in (
        ("edges", Field("edge_maps", "stacked")),
        ("borders", edges),
        ("image", edges),
        ("side", Field("sizes", "listed")),
    ):
        with pytest.raises(ValueError, match="choose new names"):
            register_field(name, field)


def test_records_need_no_image_and_ragged_fields_stay_lists() -> None:
    scan: Sample = {"id": "s", "points": torch.zeros(5, 4), "boxes3d": torch.zeros(0, 7), "sentences": ["a car", "it"]}
    batch = to_device(collate([scan, {**scan, "points": torch.zeros(2, 4)}]), "meta")
    assert "sizes" not in batch
    assert [tuple(points.shape) for points in batch["points"]] == [(5, 4), (2, 4)]
    assert {points.device.type for points in (*batch["points"], *batch["boxes3d"])} == {"meta"}
    assert batch["sentences"] == [["a car", "it"]] * 2


def test_every_field_is_declared_in_samples_and_batches() -> None:
    assert set(FIELDS) == set(Sample.__annotations__)
    assert {field.batched for field in FIELDS.values()} | {"sizes"} == set(Batch.__annotations__)


def test_nothing_to_stack() -> None:
    with pytest.raises(ValueError, match="at least one"):
        collate([])


def ids(result: list[Batch]) -> list[list[str]]:
    return [batch["ids"] for batch in result]


def test_batches_in_order_and_the_last_one_smaller() -> None:
    assert ids(list(batches(Numbers([(2, 2)] * 5), 2))) == [["n0", "n1"], ["n2", "n3"], ["n4"]]


def test_a_shuffle_is_a_permutation_that_the_seed_decides() -> None:
    records = Numbers([(2, 2)] * 20)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, again, other = (
        [i for batch in batches(records, 7, shuffle=True, seed=s) for i in batch["ids"]] for s in (0, 0, 1)
    )
    assert one == again
    assert one != other
    assert sorted(one) == sorted(other) == sorted(f"n{i}" for i in range(20))
    assert one != [f"n{i}" for i in range(20)]
    assert torch.equal(torch.get_rng_state(), before), "the global generator is not touched"


def test_a_transform_is_applied_before_stacking() -> None:
    def crop(sample: Sample) -> Sample:
        new = sample.copy()
        new["image"] = sample["image"][:, :1, :1]
        new.pop("mask"), new.pop("parts")
        return new

    (batch,) = batches(Numbers([(2, 3), (4, 1)]), 2, transform=crop)
    assert batch["images"].shape == (2, 3, 1, 1)


def test_to_device_moves_every_tensor() -> None:
    batch = collate([Numbers([(2, 2)] * 3)[2]])
    moved = to_device(batch, "meta")

    def tensors(value: object) -> list[Tensor]:
        if isinstance(value, Tensor):
            return [value]
        return [t for v in value for t in tensors(v)] if isinstance(value, list) else []

    assert len(tensors(list(moved.values()))) == len(tensors(list(batch.values()))) == 6
    assert all(t.device.type == "meta" for t in tensors(list(moved.values())))
    assert moved["ids"] == batch["ids"]
    assert to_device(batch, None) is batch


def test_a_subset_is_records_of_its_own() -> None:
    records = Numbers([(2, 2)] * 6)
    chosen = records.subset([4, 1])
    assert [chosen[i]["id"] for i in range(len(chosen))] == ["n4", "n1"]
    assert (chosen.name, chosen.split, chosen.classes) == ("numbers", "train", ("a", "b"))
    assert torch.equal(chosen.labels, records.labels[[4, 1]])
    prints = {records.fingerprint, chosen.fingerprint, records.subset([1, 4]).fingerprint}
    assert len(prints) == 3
    assert chosen.fingerprint == records.subset([4, 1]).fingerprint
    assert chosen.subset([1])[0]["id"] == "n1"


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor])
def test_booleans_select_and_whole_numbers_index(form: type) -> None:
    records = Numbers([(2, 2)] * 4)
    for chosen, indices in (([True, False, False, True], [0, 3]), ([2, 1, 1], [2, 1, 1]), ([], [])):
        some = records.subset(form(chosen))
        assert [some[i]["id"] for i in range(len(some))] == [f"n{i}" for i in indices]
        assert some.fingerprint == records.subset(indices).fingerprint
        if indices:
            assert (
                records.batch(form(chosen))["ids"] == some.batch(range(len(some)))["ids"] == [f"n{i}" for i in indices]
            )


@pytest.mark.parametrize("indices", [[0.0, 1.0], [0.7], torch.rand(4), torch.zeros(2, 2, dtype=torch.int64)])
def test_what_is_no_selection_is_refused(indices: list[int]) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        Numbers([(2, 2)] * 4).subset(indices)
    with pytest.raises(ValueError, match="3 Booleans cannot select from 4 records"):
        Numbers([(2, 2)] * 4).subset([True] * 3)


def test_unpadded_batches_hold_one_size_each() -> None:
    mixed = Numbers([(2, 2), (2, 2), (2, 2), (3, 2), (2, 2)])
    assert ids(list(unpadded_batches(mixed, 2))) == [["n0", "n1"], ["n2"], ["n3"], ["n4"]]
    mixed.image_size = (2, 2)
    assert [len(batch) for batch in ids(list(unpadded_batches(mixed.subset([0, 1, 4]), 2)))] == [2, 1]


@pytest.mark.parametrize("index", [6, -1])
def test_a_subset_outside_the_records(index: int) -> None:
    with pytest.raises(IndexError, match=r"outside 0\.\.5"):
        Numbers([(2, 2)] * 6).subset([0, index])


def test_a_message_names_five_of_the_wrong_indices_and_of_the_classes() -> None:
    with pytest.raises(IndexError, match=r"indices \[6, 7, 8, 9, 10\] are outside 0\.\.5"):
        Numbers([(2, 2)] * 6).subset(range(6, 12))
    with pytest.raises(ValueError, match=r"one alone has \['a', 'b', 'c', 'd', 'e'\], two alone \[\]"):
        check_same_classes({"one": "abcdefz", "two": "z"})


def test_the_base_class_promises_only() -> None:
    with pytest.raises(NotImplementedError):
        len(Records())
    with pytest.raises(NotImplementedError):
        Records()[0]


def test_one_list_of_classes_for_all() -> None:
    check_same_classes({"train": ("cat", "dog"), "val": ["cat", "dog"], "model": ("cat", "dog")})
    for other, how in (
        (("dog", "cat"), r"another order \(class 0 is 'cat', or 'dog'\)"),
        (("cat", "cow"), r"train alone has \['dog'\], val alone \['cow'\]"),
        (("cat",), r"train alone has \['dog'\], val alone \[\]"),
    ):
        with pytest.raises(ValueError, match=how + ".*load both with one list"):
            check_same_classes({"train": ("cat", "dog"), "val": other})


def test_numbers_and_booleans_are_not_mixed():
    from wsss_lib.data.records import positions

    assert positions([True, False, True], 3) == [0, 2]
    with pytest.raises(ValueError, match="numbers and Booleans mixed"):
        positions([True, 2], 3)


@pytest.mark.parametrize("flags", [[0, 1, 0], [1, 1, 1], [0, 0, 0]])
def test_bytes_that_look_like_booleans_are_refused(flags: list[int]) -> None:
    """NumPy's and older code's selections: as positions they would give the first two records, again and again."""
    with pytest.raises(ValueError, match="indices are 3 bytes, all 0 or 1, one for each record: pass Booleans"):
        positions(torch.tensor(flags, dtype=torch.uint8), 3)
    assert positions(torch.tensor([0, 2, 1], dtype=torch.uint8), 3) == [0, 2, 1]
    assert positions(torch.tensor([1, 0], dtype=torch.uint8), 2) == [1, 0]
    assert positions(torch.tensor(flags, dtype=torch.uint8), 4) == flags
    assert positions(torch.tensor(flags, dtype=torch.bool), 3) == [i for i in range(3) if flags[i]]
