"""What the chapters recorded on photographs may be compared: one CAM, one recipe, the same images, three seeds."""

import pytest

from wsss_lib.experiments import results

RECORDED = [name for name in results.names() if name.endswith("_voc")]


@pytest.mark.parametrize("name", RECORDED)
def test_records_of_photographs_share_their_baseline_and_protocol(name: str) -> None:
    data, first = (results.read(each)["data"] for each in (name, "01_cam_voc"))
    for what in ("side", "trained_on", "train", "val", "recipe"):
        assert data[what] == first[what], what
    assert {len(rows) for rows in data["rows"].values()} == {3}
    if data["backbone"] != first["backbone"]:
        # Its baselines are of its own network: a CAM of that name would be mixed up with the others' in chapter 12.
        assert "CAM" not in data["rows"]
        return
    for row, cam in zip(data["rows"]["CAM"], first["rows"]["CAM"], strict=True):
        # Trained again, a network differs by rounding; a box that hits or misses then counts for more than a pixel.
        # PxAP moved by up to 0.0024 between two makes of processor, a tenth of its s.d. over the seeds.
        for key, within in {"miou": 2e-3, "iou": 2e-3, "pxap": 4e-3, "mean_ap": 2e-3, "max_box_acc_v2": 0.01}.items():
            assert row[key] == pytest.approx(cam[key], abs=within), key


@pytest.mark.parametrize("name", [name for name in results.names() if "_voc_" in name])
def test_records_of_a_second_network_share_all_but_the_network(name: str) -> None:
    data, first = (results.read(each)["data"] for each in (name, f"{name.partition('_voc_')[0]}_voc"))
    for what in ("side", "trained_on", "train", "val", "recipe"):
        assert data[what] == first[what], what
    assert data["backbone"] != first["backbone"]
    assert name.endswith(data["backbone"]), "no two networks are taken for one"
    assert set(data["rows"]) <= set(first["rows"])
    assert {len(rows) for rows in data["rows"].values()} == {3}


def test_at_four_scales_a_method_is_measured_on_the_same_images_with_the_same_classifier() -> None:
    rows = {key: each for name in RECORDED for key, each in results.read(name)["data"]["rows"].items()}
    summed = [key for key in rows if key.endswith(", four scales")]
    assert "CAM, four scales" in summed
    for key in summed:
        for four, one in zip(rows[key], rows[key.removesuffix(", four scales")], strict=True):
            assert (four["scales"], four["flip"], one["scales"], one["flip"]) == (
                [1.0, 0.5, 1.5, 2.0],
                True,
                [1.0],
                False,
            )
            assert four.get("mean_ap") == pytest.approx(one.get("mean_ap"), abs=1e-3), key
            assert [four[how] for how in ("choose", "split", "images")] == [
                one[how] for how in ("choose", "split", "images")
            ]
