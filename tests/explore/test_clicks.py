"""A click moved in the plane: the page holds, for each place, the box that was made of a click there."""

from __future__ import annotations

import io
import json
import math
from html.parser import HTMLParser
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib import explore, figures, metrics
from wsss_lib.data.records import collate
from wsss_lib.data.worlds.lidar import Lidar
from wsss_lib.explore.control import STORED
from wsss_lib.methods import PointDETR3DConfig
from wsss_lib.methods.point_detr3d import PointDETR3D

ALT = "A car from above with its returns."
XS, YS = (-1.0, 0.0, 2.0), (-0.5, 0.0)


class Root(HTMLParser):
    """The data of a control, as a browser reads its attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.data: dict[str, Any] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text = dict(attrs).get("data-click")
        self.data = json.loads(text) if text else self.data


def boxes() -> torch.Tensor:
    made = torch.tensor([10.0, 5.0, 0.8, 4.0, 2.0, 1.5, 0.0]).repeat(2, 3, 1)
    made[..., 0] += torch.tensor(XS)
    made[..., 1] += torch.tensor(YS)[:, None]
    made[..., 6] = torch.arange(6.0).view(2, 3) / 3
    return made


def control(**changes: Any) -> explore.Control:
    truth = torch.tensor([10.0, 5.0, 0.8, 4.0, 2.0, 1.5, math.pi / 2])
    given: dict[str, Any] = {"points": torch.zeros(3, 3), "truth": truth, "xs": XS, "ys": YS, "boxes": boxes()}
    return explore.click(**given | {"title": "A <click>", "alt": ALT} | changes)


def test_the_page_draws_the_boxes_that_it_was_given() -> None:
    data = Root(control().html()).data
    assert (data["side"], data["xs"], data["ys"]) == (9.0, [3.5, 4.5, 6.5], [5.0, 4.5])
    made = boxes().view(-1, 7)
    for k, box in enumerate(made.tolist()):
        x, y, _, length, width, _, yaw = box
        ahead, left = np.array([math.cos(yaw), math.sin(yaw)]), np.array([-math.sin(yaw), math.cos(yaw)])
        shape = [(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1), (1, 0), (0, 0)]
        corners = [np.array([x, y]) + a * length / 2 * ahead + b * width / 2 * left for a, b in shape]
        expected = [(cx - 10 + 4.5, 4.5 - (cy - 5)) for cx, cy in corners]
        np.testing.assert_allclose(np.reshape(data["outlines"][k], (7, 2)), expected, atol=0.0051)


def test_the_boxes_of_a_grid_are_those_of_its_clicks_one_by_one() -> None:
    torch.manual_seed(0)
    teacher = PointDETR3D(2, PointDETR3DConfig(camera=False)).eval()
    torch.nn.init.normal_(teacher.head.weight, std=0.1)  # else it says the mean of every click
    sample = Lidar(split="test", count=1)[0]
    truth, batch, shifts = sample["boxes3d"][0], collate([sample]), (-1.0, 0.0, 1.0)

    def asked(clicks: torch.Tensor) -> torch.Tensor:
        labels = sample["box3d_labels"][:1].expand(len(clicks))
        given: Any = batch | {"clicks": [clicks], "box3d_labels": [labels]}
        with torch.no_grad():
            return teacher.boxes(given)[0]

    places = torch.stack([truth[:3] + torch.tensor([x, y, 0.0]) for y, x in product(shifts, shifts)])
    made = asked(places)
    assert made[:, 6].std() > 0.01
    moved = explore.click(sample["points"], truth, shifts, shifts, made.view(3, 3, 7), "Clicks", alt=ALT)
    data = Root(moved.html()).data
    for k, place in enumerate(places):
        alone = asked(place[None])
        torch.testing.assert_close(made[k : k + 1], alone, rtol=1e-4, atol=1e-4)
        x, y = (np.asarray(side) for side in figures.scenes.outline(alone[0].tolist()))
        drawn = np.stack([x - float(truth[0]) + 4.5, 4.5 - y + float(truth[1])], -1)
        np.testing.assert_allclose(np.reshape(data["outlines"][k], (7, 2)), drawn, atol=0.0061)
        iou = float(metrics.ground_iou(alone[0], truth))
        assert moved.at(moved.settings[k]).numbers["IoU"] == pytest.approx(iou, abs=1e-3)


def test_each_place_says_where_it_is_and_how_well_its_box_fits() -> None:
    made = control()
    assert [made.say(k) for k in range(6)] == [
        "x -1 m, y -0.5 m", "y -0.5 m", "x +2 m, y -0.5 m", "x -1 m", "at the centre", "x +2 m"
    ]  # fmt: skip
    assert made.settings[made.start] == (0.0, 0.0)
    reading = made.at((2.0, -0.5))
    assert reading.numbers["centre off by [m]"] == pytest.approx(math.hypot(2, 0.5))
    assert reading.words.endswith(" · centre off by 2.06 m")
    assert reading.alt == f"{ALT} Click x +2 m, y -0.5 m; {reading.words}."
    data = Root(made.html()).data
    assert data["say"] == [made.say(k) for k in range(6)]
    assert data["words"] == [made.at(place).words for place in made.settings]


def test_the_picture_holds_the_cross_and_the_box() -> None:
    made = control(usual=1 / 3)
    pictures = [made.at(place).picture for place in made.settings]
    assert all(picture.shape == (420, 420, 3) for picture in pictures)
    for a, b in pairwise(pictures):
        assert (a != b).any()
    green = (pictures[4] == np.array([0x0B, 0x6E, 0x4F])).all(-1)
    left, bottom, width, height = 0.15, 0.13, 0.82, 0.84
    at = np.array([420 * (1 - bottom - height / 2), 420 * (left + width / 2)])
    assert np.abs(np.argwhere(green).mean(0) - at).max() < 2  # the cross stands at the true centre
    assert (control(usual=0.0).at((0.0, 0.0)).picture != pictures[4]).any()


def test_the_key_names_the_tint_where_there_is_one() -> None:
    for usual in (0.0, 1 / 3):
        html = control(usual=usual).html()
        assert all(f"{name}:" in html for name in ("Solid", "Dashed", "Cross", "Small plus signs", "Grey dots"))
        assert ("Tinted: where clicks of training lie." in html) == bool(usual)


def test_what_is_said_is_escaped() -> None:
    html = control(alt='A "car" & <b>returns</b> from above').html()
    assert "A &lt;click&gt;" in html
    assert "<b>returns" not in html
    assert Root(html).data["say"][4] == "at the centre"
    assert len(html) < 100_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"boxes": boxes()[:1]}, r"boxes has shape \(1, 3, 7\)"),
        ({"boxes": boxes() / 0}, "finite"),
        ({"xs": (0.0, -1.0, 2.0)}, "xs is"),
        ({"xs": (0.0, 0.0, 2.0)}, "xs is"),
        ({"ys": (-5.0, 0.0)}, "ys is"),
        ({"xs": ()}, "xs is"),
        ({"alt": "car"}, "does not describe"),
    ],
)
def test_it_refuses(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        control(**change)


def test_a_place_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no place"):
        control().at((0.25, 0.0))


def test_a_live_notebook_has_a_slider_for_each_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORED, raising=False)
    made = control()
    title, right, up, image, words = made.widget().children
    assert "&lt;click&gt;" in title.value
    assert (right.value, up.value) == (0.0, 0.0)
    right.value, up.value = 2.0, -0.5
    reading = made.at((2.0, -0.5))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image.value))), reading.picture)
    assert reading.words in words.value
    assert [slider.description for slider in (right, up)] == ["click, x", "click, y"]
    assert set(made._repr_mimebundle_()) == {
        "text/plain", "text/html", "application/vnd.jupyter.widget-view+json"
    }  # fmt: skip
