"""What the chapters recorded on photographs may be compared: one CAM, one recipe, the same images, three seeds."""

import pytest

from wsss_lib.experiments import results

RECORDED = [name for name in results.names() if name.endswith("_voc")]


@pytest.mark.parametrize("name", RECORDED)
def test_records_of_photographs_share_their_baseline_and_protocol(name: str) -> None:
    data, first = (results.read(each)["data"] for each in (name, "01_cam_voc"))
    for what in ("side", "trained_on", "train", "val", "backbone", "recipe"):
        assert data[what] == first[what], what
    assert {len(rows) for rows in data["rows"].values()} == {3}
    for row, cam in zip(data["rows"]["CAM"], first["rows"]["CAM"], strict=True):
        for key in ("miou", "iou", "pxap", "max_box_acc_v2", "mean_ap"):
            assert row[key] == pytest.approx(cam[key], abs=1e-3), key
