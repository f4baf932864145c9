"""Streets from above, and the camera's panorama."""

import numpy as np
import pytest
import torch

from wsss_lib import figures
from wsss_lib.data import load


def test_a_street_says_what_is_drawn() -> None:
    sample = load("lidar", count=1)[0]
    count = len(sample["boxes3d"])
    fig, alt = figures.street(
        sample["points"],
        sample["panorama"],
        truth=sample["boxes3d"],
        boxes=sample["boxes3d"][:2],
        clicks=sample["clicks"],
    )
    assert f"with {len(sample['points'])} returns" in alt
    assert f"{count} true boxes, solid; 2 boxes that were made, dashed; {count} clicks" in alt
    above, camera = fig.axes
    assert len(above.lines) == 1 + count + 2 + 1  # the sensor, the boxes, the clicks
    assert camera.images[0].get_array().shape == (24, 384, 3)
    assert len(figures.png(fig)) > 1000


def test_a_box_is_drawn_where_it_stands_and_shows_its_front() -> None:
    fig, ax = figures.canvas()
    box = torch.tensor([[10.0, 5.0, 0.8, 4.0, 2.0, 1.5, np.pi / 2]])
    figures.bird_eye(ax, torch.zeros(3, 3), truth=box, half=8.0, centre=(10.0, 5.0))
    x, y = (np.asarray(values) for values in ax.lines[1].get_data())
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((9, 11, 3, 7))
    assert (x[-1], y[-1], x[-2], y[-2]) == pytest.approx((10, 5, 10, 7))
    assert ax.get_xlim() == (2, 18)
    assert fig is ax.figure
