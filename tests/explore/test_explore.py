"""Controls: the plain functions behind them, their HTML, and their widgets."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from wsss_lib import explore, metrics
from wsss_lib.explore.control import STORED, asset

ALT = "A square on the left, with a map that is bright on its upper half."


@pytest.fixture
def scene() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    image, heat = torch.rand(3, 24, 32, generator=draw), torch.rand(24, 32, generator=draw)
    truth = torch.zeros(24, 32, dtype=torch.int64)
    truth[6:18, 4:16] = 2
    truth[5, 4:16] = 255
    return {"image": image, "heat": heat, "truth": truth}


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def root(self) -> dict[str, Any]:
        return next(attrs for _, attrs in self.tags if attrs.get("class") == "wsss-explore")


def decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8)


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert("RGB"))


# --- Cutting a map ---------------------------------------------------------------------------------------------------


def test_cut_by_hand() -> None:
    heat = torch.tensor([[0.9, 0.8, 0.1], [0.6, 0.2, 0.7]])
    truth = torch.tensor([[1, 0, 0], [1, 1, 255]])
    result = explore.cut(heat, truth, 0.5)  # seed: 0.9, 0.8, 0.6 (and one pixel that does not count); object: three
    assert result == explore.Cut(0.5, iou=2 / 4, precision=2 / 3, recall=2 / 3, area=3 / 5)
    assert list(result.numbers) == ["IoU", "precision", "recall"]


def test_a_cut_is_above_the_threshold_and_not_at_it() -> None:
    heat, truth = torch.tensor([[0.3, 0.4]]), torch.tensor([[True, True]])
    assert explore.cut(heat, truth, 0.3).recall == 0.5


def test_what_cannot_be_divided_is_none() -> None:
    heat, truth = torch.full((4, 4), 0.2), torch.zeros(4, 4, dtype=torch.bool)
    assert explore.cut(heat, ~truth, 0.5) == explore.Cut(0.5, iou=0.0, precision=None, recall=0.0, area=0.0)
    assert explore.cut(heat, truth, 0.1).recall is None
    assert explore.cut(heat, truth, 0.5).iou is None


def test_cut_enlarges_the_map_as_the_library_does(scene: dict[str, torch.Tensor]) -> None:
    small = torch.rand(6, 8)
    large = torch.nn.functional.interpolate(small[None, None], size=(24, 32), mode="bilinear")[0, 0]
    assert explore.cut(small, scene["truth"], 0.4) == explore.cut(large, scene["truth"], 0.4)


@pytest.mark.parametrize("threshold", [0.0, 0.29, 0.5, 0.999])
def test_the_iou_is_the_librarys(scene: dict[str, torch.Tensor], threshold: float) -> None:
    heat, truth = scene["heat"], scene["truth"]
    result = explore.cut(heat, truth, threshold)
    assert result.iou == metrics.foreground_iou(heat[None], truth[None], threshold)
    seed, object_, counted = heat > threshold, truth == 2, truth != 255
    both = int((seed & object_).sum())
    assert result.recall == both / int(object_.sum())
    assert result.precision == (both / int((seed & counted).sum()) if (seed & counted).any() else None)
    assert result.area == int((seed & counted).sum()) / int(counted.sum())


def test_cut_refuses_a_batch(scene: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="index one image"):
        explore.cut(scene["heat"][None], scene["truth"], 0.5)


# --- The threshold control -------------------------------------------------------------------------------------------


def test_the_page_is_given_exactly_what_python_computes(scene: dict[str, torch.Tensor]) -> None:
    data = Tags(explore.threshold(**scene, alt=ALT).html()).root()
    scores = decoded(data["data-scores"]).reshape(100, 3)
    heights = decoded(data["data-heights"]).reshape(24, 32)
    assert data["data-size"] == "32 24"
    assert data["data-names"] == "IoU|precision|recall"
    for k in range(100):
        np.testing.assert_array_equal(heights > k, (scene["heat"] > torch.tensor(k / 100)).numpy())
        for name, stored in zip(("IoU", "precision", "recall"), scores[k], strict=True):
            value = explore.cut(scene["heat"], scene["truth"], k / 100).numbers[name]
            assert (f"{stored / 100:.2f}" if stored != 255 else None) == (value if value is None else f"{value:.2f}")
    truth = np.unpackbits(decoded(data["data-truth"]))[: 24 * 32].reshape(24, 32)
    np.testing.assert_array_equal(truth, (scene["truth"] == 2).numpy())


def test_a_large_map_is_drawn_coarser_and_measured_whole() -> None:
    heat, truth = torch.rand(200, 300), torch.rand(200, 300) > 0.5
    control = explore.threshold(torch.rand(3, 200, 300), heat, truth, alt=ALT)
    data = Tags(control.html()).root()
    assert data["data-size"] == "128 85"
    assert len(decoded(data["data-heights"])) == 128 * 85
    assert control.at(0.3).numbers == explore.cut(heat, truth, 0.3).numbers


def test_the_still_shows_the_start(scene: dict[str, torch.Tensor]) -> None:
    html = explore.threshold(**scene, alt=ALT, start=0.42).html()
    result = explore.cut(scene["heat"], scene["truth"], 0.42)
    said = f"threshold 0.42 · IoU {result.iou:.2f} · precision {result.precision:.2f} · recall {result.recall:.2f}"
    assert said in html
    assert Tags(html).root()["data-start"] == "42"


def test_what_is_not_seed_fades(scene: dict[str, torch.Tensor]) -> None:
    none = torch.zeros_like(scene["truth"])
    control = explore.threshold(scene["image"], scene["heat"], none, alt=ALT)
    right = {t: control.at(t).picture[:, 320:].mean() for t in (0.0, 0.99)}
    assert right[0.99] < 0.5 * right[0.0]


def test_threshold_refuses_an_image_of_another_size(scene: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="same size"):
        explore.threshold(torch.rand(3, 8, 8), scene["heat"], scene["truth"], alt=ALT)


# --- Steps -----------------------------------------------------------------------------------------------------------


def shade(value: float) -> torch.Tensor:
    return torch.full((3, 20, 40), value)


def text(value: float) -> str:
    return f"A plain grey of brightness {value:g}"


def test_steps_take_pictures_or_the_function_that_draws_them() -> None:
    labels = (0.0, 0.5, 1.0)
    drawn = explore.steps(shade, labels, "Grey", alt=text, numbers=lambda v: {"mean": v})
    given = explore.steps(
        [shade(v) for v in labels], labels, "Grey", alt=[text(v) for v in labels], numbers=[{"mean": v} for v in labels]
    )
    assert drawn.html() == given.html()
    reading = drawn.at(0.5)
    assert (reading.setting, reading.alt, reading.words) == ("0.5", text(0.5), "mean 0.50")
    assert reading.picture.shape == (160, 320, 3)
    assert np.all(reading.picture == 128)


def test_steps_show_each_picture_with_its_text() -> None:
    html = explore.steps(shade, (0.0, 0.5, 1.0), "Grey", alt=text, dial="brightness", start=1).html()
    pictures = Tags(html).all("img")
    assert [p["alt"] for p in pictures] == [text(v) for v in (0, 0.5, 1)]
    assert [round(opened(p["src"]).mean()) for p in pictures] == pytest.approx([0, 128, 255], abs=2)
    frames = re.findall(r'class="(wx-frame[^"]*)" data-say="([^"]*)"', html)
    assert frames == [("wx-frame", "0"), ("wx-frame wx-first", "0.5"), ("wx-frame", "1")]
    assert "brightness 0.5" in html


def test_steps_take_figures_and_pairs() -> None:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1])
    control = explore.steps([figure, figure], [(1, 1), (0.3, 0.6)], "Plots", alt=["one rising line"] * 2)
    assert [control.say(i) for i in (0, 1)] == ["1", "0.3 to 0.6"]
    assert 200 < control.at((1, 1)).picture.shape[1] <= 640


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pictures": [shade(0)]}, "pictures must hold one entry for each of the 2"),
        ({"alt": "one text for all of them"}, "alt must hold one entry"),
        ({"alt": ["a grey picture", "x"]}, "does not describe"),
        ({"numbers": [{}]}, "numbers must hold"),
        ({"start": 2}, "start is 2"),
        ({"paper": "none"}, "paper='none'"),
        ({"pictures": [torch.zeros(4, 5, 6)] * 2}, "expected a figure"),
        ({"pictures": [shade(2.0)] * 2}, "expected 0 to 1"),
    ],
)
def test_steps_refuse(change: dict[str, Any], reason: str) -> None:
    given = {"pictures": [shade(0), shade(1)], "labels": (0, 1), "title": "Grey", "alt": [text(0), text(1)]} | change
    with pytest.raises(ValueError, match=reason):
        explore.steps(given.pop("pictures"), given.pop("labels"), given.pop("title"), **given).html()


def test_a_setting_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no setting"):
        explore.steps(shade, (0.0, 0.5), "Grey", alt=text).at(0.25)


# --- The curtain -----------------------------------------------------------------------------------------------------


def test_drawn_aside() -> None:
    black, white = np.zeros((2, 10, 3), np.uint8), np.full((2, 10, 3), 255, np.uint8)
    assert explore.drawn_aside(black, white, 0.3)[0, :, 0].tolist() == [0] * 3 + [255] * 7
    assert np.array_equal(explore.drawn_aside(black, white, 0), white)
    assert np.array_equal(explore.drawn_aside(black, white, 1), black)
    with pytest.raises(ValueError, match="share"):
        explore.drawn_aside(black, white, 1.2)
    with pytest.raises(ValueError, match="one size"):
        explore.drawn_aside(black, white[:1], 0.5)


def test_curtain_holds_both_pictures_with_their_names() -> None:
    control = explore.curtain(shade(0), shade(1), ("CAM", "BAS"), alt="A dark square before, a bright one after")
    tags = Tags(control.html())
    dark, bright = tags.all("img")
    assert (opened(dark["src"]).mean(), opened(bright["src"]).mean()) == pytest.approx((0, 255), abs=2)
    assert dark["alt"] == "A dark square before, a bright one after"
    assert "BAS" in bright["alt"]
    assert control.title == "CAM against BAS"
    assert control.settings[control.start] == 0.5
    assert control.at(0.25).setting == "25 % CAM, 75 % BAS"
    assert control.at(0.25).picture[0, :, 0].tolist() == [0] * 80 + [255] * 240
    assert control.say(0) == "only BAS"
    assert control.say(20) == "only CAM"


def test_curtain_over_several_pictures() -> None:
    control = explore.curtain(
        [shade(0), shade(0.5)], [shade(1), shade(1)], alt=("dark squares twice", "bright ones twice")
    )
    assert [p["alt"] for p in Tags(control.html()).all("img")] == [
        "Picture 1. dark squares twice", "Picture 1. bright ones twice",
        "Picture 2. dark squares twice", "Picture 2. bright ones twice",
    ]  # fmt: skip
    assert control.at(0.5).picture.shape == (160, 640, 3)
    with pytest.raises(ValueError, match="as many"):
        explore.curtain([shade(0)], [shade(1), shade(1)], alt="dark and bright squares")


def test_each_place_under_a_curtain_can_have_a_title() -> None:
    pair = [shade(0), shade(0.5)], [shade(1), shade(1)]
    page = explore.curtain(*pair, alt="dark and bright squares", titles=("half size", "full <size>")).html()
    assert page.index("half size") < page.index("full &lt;size&gt;")
    assert page.count('class="wx-caption"') == 2
    assert Tags(page).all("img")[2]["alt"] == "Picture 2, full <size>. dark and bright squares"
    with pytest.raises(ValueError, match="1 titles for 2 pictures"):
        explore.curtain(*pair, alt="dark and bright squares", titles=("half size",))


# --- Pictures --------------------------------------------------------------------------------------------------------


def test_picture_fills_its_frame_and_draws_what_it_is_given() -> None:
    image = torch.full((3, 24, 32), 0.5)
    heat = torch.zeros(24, 32)
    heat[8:16, 8:24] = 1
    plain = explore.picture(image)
    assert plain.shape == (240, 320, 3)
    assert np.abs(plain.astype(int) - 128).max() <= 1  # no margin, no frame
    mapped = explore.picture(image, heat)
    assert mapped[120, 160, 1] > mapped[10, 10, 1] + 50  # viridis: yellow over violet
    assert (explore.picture(image, heat, threshold=0.5) != mapped).any()
    assert (explore.picture(image, heat, truth=heat > 0) != mapped).any()
    assert explore.picture(None, heat).shape == (240, 320, 3)


# --- HTML and widgets ------------------------------------------------------------------------------------------------


def moved_click() -> explore.Control:
    box = torch.tensor([9.0, 2.0, 0.8, 4.0, 2.0, 1.5, 0.3])
    return explore.click(
        torch.zeros(2, 3), box, (0, 1), (0, 1), box.expand(2, 2, 7), "Click <1>", alt="A car from above"
    )


@pytest.fixture(params=["threshold", "steps", "curtain", "click"])
def control(request: pytest.FixtureRequest, scene: dict[str, torch.Tensor]) -> explore.Control:
    return {
        "threshold": lambda: explore.threshold(**scene, alt=ALT),
        "steps": lambda: explore.steps(shade, (0.0, 0.5, 1.0), "Grey <1>", alt=text),
        "curtain": lambda: explore.curtain(shade(0.2), shade(0.8), alt="a dark and a bright square"),
        "click": lambda: moved_click(),
    }[request.param]()


def test_html_is_complete_labelled_and_the_same_each_time(control: explore.Control) -> None:
    html = control.html()
    assert html == control.html()
    tags = Tags(html)
    (slider,) = tags.all("input")
    assert slider["type"] == "range"
    assert slider["aria-valuetext"] == control.say(control.start)
    assert re.search(rf'<label class="wx-dial"><span>{control.label}</span><input', html)
    assert tags.all("output")[0]["aria-live"] == "polite"
    assert tags.root()["aria-label"] == control.title
    assert "hidden" in next(a for _, a in tags.tags if a.get("class") == "wx-controls")  # no dead slider without script
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert all(len(image["alt"].split()) >= 3 for image in tags.all("img"))
    assert not any("id" in attrs for _, attrs in tags.tags)  # two controls on one page cannot clash


def test_a_control_is_small(scene: dict[str, torch.Tensor]) -> None:
    from wsss_lib.data.worlds.critters import Critters, World

    sample = Critters(World(), "gallery", 1)[0]
    size = tuple(sample["image"].shape[-2:])
    heat = metrics.centre_gaussian(size)
    made = explore.threshold(sample["image"], heat, sample["mask"], alt=ALT)
    assert len(made.html()) < 80_000
    assert len(asset("explore.js")) + len(asset("explore.css")) < 14_000


def test_the_stored_output_is_html_alone(control: explore.Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORED, "1")
    bundle = control._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert control.title in bundle["text/plain"]
    assert control._repr_html_() == bundle["text/html"]


def test_a_live_notebook_gets_the_widget_and_the_html(
    control: explore.Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORED, raising=False)
    bundle = control._repr_mimebundle_()
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert set(view) == {"version_major", "version_minor", "model_id"}
    assert bundle["text/html"] == control.html()


def test_the_widget_is_driven_by_the_plain_function(control: explore.Control) -> None:
    if control.kind == "click":
        pytest.skip("it has two sliders: see test_clicks.py")
    _, slider, image, words = control.widget().children
    assert slider.value == control.start
    for index in (control.start, 0, len(control.settings) - 1):
        slider.value = index
        reading = control.at(control.settings[index])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image.value))), reading.picture)
        assert reading.alt in words.value
        assert reading.words in words.value
    assert slider.description == control.label


def test_widgets_keep_to_what_ipywidgets_7_has(control: explore.Control) -> None:
    known = {"VBox", "SelectionSlider", "Image", "HTML"}
    box = control.widget()
    assert {type(child).__name__ for child in (box, *box.children)} <= known


def test_the_executor_asks_for_html_alone(tmp_path: Any) -> None:
    from press.run import execute

    assert execute.environment(tmp_path, tmp_path, one_thread=True, offline=True)[STORED] == "1"
