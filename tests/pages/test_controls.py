"""Controls in a real browser: keyboard, touch and pointer move them, and what they say is what Python computes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from wsss_lib import explore
from wsss_lib.explore.control import Control

from .conftest import HTML, Opener, names

pytestmark = pytest.mark.browser
PAGE = "<!doctype html><html lang='en'><meta charset='utf-8'><title>Controls</title><main><h1>Controls</h1>{}</main>"
LABELS = (0.0, 0.5, 1.0)
CAR = 'A "car" from above & its returns.'


def scene() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    rough = torch.rand(1, 1, 6, 8, generator=draw)
    heat = torch.nn.functional.interpolate(rough, size=(24, 32), mode="bilinear")[0, 0]
    truth = torch.zeros(24, 32, dtype=torch.int64)
    truth[6:18, 4:16] = 2
    return {"image": torch.rand(3, 24, 32, generator=draw), "heat": heat, "truth": truth}


def grey(value: float) -> torch.Tensor:
    return torch.full((3, 24, 32), value)


def controls() -> list[Control]:
    return [
        explore.threshold(**scene(), alt="Noise, with a map of bright and dark spots."),
        explore.steps(
            grey, LABELS, "Grey", alt="A plain grey of brightness {:g}".format, numbers=lambda v: {"mean": v}
        ),
        explore.curtain(grey(0.1), grey(0.9), ("CAM", "BAS"), alt="A dark and a bright picture"),
        moved_click(),
    ]


def moved_click() -> Control:
    """Each place has a box of its own direction and length."""
    box, steps = torch.tensor([9.0, -2.0, 0.8, 4.0, 2.0, 1.5, 0.0]), torch.arange(3.0) - 1
    boxes = box.repeat(3, 3, 1)
    boxes[..., 0] += steps
    boxes[..., 1] += steps[:, None]
    boxes[..., 6] = torch.arange(9.0).view(3, 3) / 4
    boxes[..., 3] -= torch.arange(9.0).view(3, 3) / 5
    return explore.click(torch.zeros(2, 3), box, steps.tolist(), steps.tolist(), boxes, "A <b>click</b>", alt=CAR)


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("controls") / "controls.html"
    path.write_text(PAGE.format("".join(control.html() for control in controls())), encoding="utf-8")
    return path


def part(page: Any, kind: str) -> tuple[Any, Any, Any]:
    root = page.locator(f".wsss-explore[data-kind={kind}]")
    return root, root.get_by_role("slider"), root.locator("output")


def press(slider: Any, keys: Sequence[str]) -> None:
    slider.focus()
    for key in keys:
        slider.press(key)


def test_every_threshold_says_what_python_computes(sheet: Path, opened: Opener) -> None:
    page, heard = opened(sheet)
    _, slider, said = part(page, "threshold")
    press(slider, ["Home", "ArrowRight"])
    assert said.inner_text().startswith("0.01 · IoU")
    values = scene()
    every = """(slider) => Array.from({length: 100}, (_, k) => {
      const said = slider.closest(".wsss-explore").querySelector("output");
      slider.value = k;
      slider.dispatchEvent(new Event("input"));
      return slider.getAttribute("aria-valuetext") + "|" + said.textContent;
    })"""
    for k, heard_there in enumerate(slider.evaluate(every)):
        numbers = explore.cut(values["heat"], values["truth"], k / 100).numbers
        words = " · ".join(f"{name} {'–' if value is None else f'{value:.2f}'}" for name, value in numbers.items())
        assert heard_there == f"{k / 100:.2f}|{k / 100:.2f} · {words}"
    assert heard.complaints == []


@pytest.mark.parametrize("k", [0, 20, 45, 60, 90])
def test_the_seed_that_is_drawn_is_the_seed(k: int, sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet)
    root, slider, _ = part(page, "threshold")
    slider.evaluate("(one, k) => { one.value = k; one.dispatchEvent(new Event('input')); }", k)
    dark = root.locator("path[fill-rule=evenodd]").evaluate(
        """(path) => { const svg = path.ownerSVGElement, out = [];
        for (let y = 0; y < 24; y++) for (let x = 0; x < 32; x++) {
          const at = svg.createSVGPoint(); at.x = x + 0.5; at.y = y + 0.5; out.push(path.isPointInFill(at)); }
        return out; }"""
    )
    seed = scene()["heat"] > torch.tensor(k / 100)
    assert torch.equal(~torch.tensor(dark).view(24, 32), seed)


def test_the_true_outline_stays_and_the_cut_moves(sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet)
    root, slider, _ = part(page, "threshold")
    lines = {colour: root.locator(f"path[stroke='{colour}']").first for colour in ("#fff", "#ffb000")}
    before = {colour: line.get_attribute("d") for colour, line in lines.items()}
    press(slider, ["PageUp"])
    after = {colour: line.get_attribute("d") for colour, line in lines.items()}
    assert before["#fff"] == after["#fff"] != ""
    assert before["#ffb000"] != after["#ffb000"]


def test_steps_by_keyboard(sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet)
    root, slider, said = part(page, "steps")
    shown = root.locator(".wx-frame:visible img")
    for keys, value in (([], 0.0), (["ArrowRight"], 0.5), (["End"], 1.0), (["ArrowRight"], 1.0), (["Home"], 0.0)):
        press(slider, keys)
        assert shown.count() == 1
        assert shown.get_attribute("alt") == f"A plain grey of brightness {value:g}"
        assert said.text_content() == f"{value:g} · mean {value:.2f} A plain grey of brightness {value:g}"


def test_the_curtain_by_keyboard_and_by_pointer(sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet)
    root, slider, said = part(page, "curtain")
    after = root.locator(".wx-after img")
    assert said.inner_text() == "50 % CAM, 50 % BAS"
    press(slider, ["Home"])
    assert said.inner_text() == "only BAS"
    assert after.evaluate("(i) => getComputedStyle(i).clipPath") in ("inset(0px 0px 0px 0%)", "inset(0px)")
    panel = root.locator(".wx-panel")
    box = panel.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.down()
    assert said.inner_text() == "25 % CAM, 75 % BAS"
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 20)
    page.mouse.up()
    assert said.inner_text() == "80 % CAM, 20 % BAS"
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 20)  # let go: it no longer follows
    assert slider.input_value() == "16"


def drawn_box(root: Any) -> list[float]:
    """The numbers of the dashed box, in metres from the left and the top."""
    text = root.locator("path[stroke-dasharray]").get_attribute("d")
    return [float(number) for number in text.replace("M", " ").replace("L", " ").split()]


def test_the_click_by_arrow_keys_moves_in_the_plane(sheet: Path, opened: Opener) -> None:
    page, heard = opened(sheet)
    root, slider, said = part(page, "click")
    made, control = root.locator("[role=img]"), moved_click()
    shown = json.loads(control.attributes()["click"])
    ways = ["ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowDown", "ArrowDown"]
    places = [(1, 0), (1, 1), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (-1, -1)]  # it stops at the border
    assert said.inner_text().startswith("at the centre")
    for way, place in zip(ways, places, strict=True):
        press(slider, [way])
        k, reading = control.settings.index(place), control.at(place)
        assert said.inner_text() == f"{reading.setting} · {reading.words}"
        assert slider.get_attribute("aria-valuetext") == reading.setting
        assert made.get_attribute("aria-label") == reading.alt
        assert drawn_box(root) == shown["outlines"][k]
    for key, place in (("End", (1, -1)), ("PageUp", (1, 1)), ("Home", (-1, 1)), ("PageDown", (-1, -1))):
        press(slider, [key])  # to the end of a row or a column
        assert slider.input_value() == str(control.settings.index(place))
    assert slider.get_attribute("aria-label") == "click"
    assert root.locator("b").count() == 0  # the title is text, and no markup
    assert heard.complaints == []


@pytest.mark.parametrize("settings", [{}, {"viewport": {"width": 390, "height": 800}, "has_touch": True}])
def test_the_click_is_dragged_to_every_place(settings: dict[str, Any], sheet: Path, opened: Opener) -> None:
    page, heard = opened(sheet, **settings)
    root, slider, said = part(page, "click")
    root.scroll_into_view_if_needed()
    box, control = root.locator("svg").bounding_box(), moved_click()
    shown = json.loads(control.attributes()["click"])

    def spot(x: float, y: float) -> tuple[float, float]:
        return box["x"] + (4.5 + x) / 9 * box["width"], box["y"] + (4.5 - y) / 9 * box["height"]

    page.mouse.move(*spot(0, 0))
    page.mouse.down()
    for k, (x, y) in enumerate(control.settings):
        page.mouse.move(*spot(x + 0.3, y - 0.3))  # not quite at the place: the nearest one counts
        assert slider.input_value() == str(k)
        assert said.inner_text().startswith(control.say(k))
        assert drawn_box(root) == shown["outlines"][k]
    page.mouse.move(*spot(4.4, 0))  # beyond the grid
    assert slider.input_value() == "5"
    page.mouse.up()
    page.mouse.move(*spot(-1, -1))  # let go: it no longer follows
    assert slider.input_value() == "5"
    assert slider.evaluate("(one) => one === document.activeElement")  # so that arrow keys go on from here
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert heard.complaints == []


def test_a_finger_taps_a_place_and_drags_the_click(sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    root, slider, _ = part(page, "click")
    root.scroll_into_view_if_needed()
    box, grip = root.locator("svg").bounding_box(), root.locator(".wx-grip")
    assert grip.bounding_box()["width"] >= 44  # pixels: what a finger can hit
    page.touchscreen.tap(box["x"] + 3.5 / 9 * box["width"], box["y"] + 3.5 / 9 * box["height"])
    assert slider.input_value() == "6"


def swipe(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A finger goes down, moves in eight steps and is lifted, as the browser gets it from a screen."""
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": start[0], "y": start[1]}]})
    for step in range(1, 9):
        x, y = (a + (b - a) * step / 8 for a, b in zip(start, end, strict=True))
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y}]})
        page.wait_for_timeout(20)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)


def test_a_finger_drags_the_cross_and_scrolls_the_page_elsewhere(sheet: Path, opened: Opener) -> None:
    page, heard = opened(sheet, viewport={"width": 390, "height": 640}, has_touch=True, is_mobile=True)
    root, slider, said = part(page, "click")
    box = root.locator("svg").bounding_box()
    page.evaluate("(y) => scrollTo(0, y)", box["y"] - 60)
    box, before = root.locator("svg").bounding_box(), page.evaluate("() => scrollY")
    middle, metre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), box["width"] / 9
    swipe(page, middle, (middle[0], middle[1] - 1.1 * metre))
    assert slider.input_value() == "7"
    assert page.evaluate("() => scrollY") == before
    swipe(page, (middle[0], middle[1] - metre), (middle[0] + metre, middle[1] + metre))  # from where it is now
    assert slider.input_value() == "2"
    assert page.evaluate("() => scrollY") == before
    seen = said.inner_text()
    swipe(page, (middle[0] - 3 * metre, middle[1] - metre), (middle[0] - 3 * metre, middle[1] + 2 * metre))
    assert page.evaluate("() => scrollY") < before - metre
    assert said.inner_text() == seen
    assert heard.complaints == []


@pytest.mark.parametrize("kind", ["threshold", "steps", "curtain"])
def test_by_touch_on_a_phone(kind: str, sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    root, slider, said = part(page, kind)
    root.scroll_into_view_if_needed()
    before, box = said.text_content(), slider.bounding_box()
    assert box["height"] >= 24  # pixels: what a finger can hit
    page.touchscreen.tap(box["x"] + 0.97 * box["width"], box["y"] + box["height"] / 2)
    assert said.text_content() != before
    assert int(slider.input_value()) > 0.9 * int(slider.get_attribute("max"))
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_paper_shows_the_start_whatever_was_moved(sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet)
    for kind in ("threshold", "steps", "curtain", "click"):
        press(part(page, kind)[1], ["End"])
    page.emulate_media(media="print")
    assert page.get_by_role("slider").count() == 0
    still = page.locator("[data-kind=threshold] .wx-still")
    result = explore.cut(scene()["heat"], scene()["truth"], 0.3)
    assert still.is_visible()
    assert f"threshold 0.30 · IoU {result.iou:.2f}" in still.inner_text()
    assert page.locator("[data-kind=threshold] .wx-live").is_hidden()
    assert page.locator("[data-kind=steps] .wx-frame:visible img").get_attribute("alt").endswith(" 0")
    assert page.locator("[data-kind=click] .wx-still").inner_text().startswith("click at the centre · IoU")
    assert page.locator("[data-kind=click] .wx-live").is_hidden()
    sides = [page.locator(f"[data-kind=curtain] .wx-{side} img").bounding_box() for side in ("before", "after")]
    assert sides[0]["x"] + sides[0]["width"] <= sides[1]["x"]  # side by side


def test_without_scripts_the_start_stands_and_nothing_is_dead(sheet: Path, opened: Opener) -> None:
    page, _ = opened(sheet, java_script_enabled=False)
    assert page.get_by_role("slider").count() == 0
    assert page.locator("[data-kind=threshold] .wx-still img").is_visible()
    assert page.locator("[data-kind=steps] .wx-frame:visible").count() == 1
    assert page.locator("[data-kind=curtain] img:visible").count() == 2
    assert page.locator("[data-kind=click] img:visible").count() == 1
    assert "arrow keys" not in page.locator("[data-kind=click]").inner_text()


def test_a_script_that_comes_twice_does_no_harm(sheet: Path, opened: Opener) -> None:
    page, heard = opened(sheet)
    assert page.locator("script[data-wx]").count() == 4
    _, slider, said = part(page, "steps")
    press(slider, ["ArrowRight"])
    assert said.text_content().startswith("0.5 ·")
    assert page.locator("[data-kind=threshold] .wx-layer").count() == 2
    assert heard.complaints == []


@pytest.mark.parametrize("name", [name for name in names() if "/chapters/" in name])
def test_the_controls_of_a_chapter_move(name: str, site: Path, opened: Opener) -> None:
    page, heard = opened(site / f"{name}.html")
    roots = page.locator(".wsss-explore").all()
    if not roots:
        pytest.skip("this chapter has no controls")
    assert page.locator("script[data-wx], style[data-wx]").count() == 0  # the page has them once, as files
    assert page.locator("script[src*='explore.js']").count() == page.locator("link[href*='explore.css']").count() == 1
    for root in roots:
        slider, said = root.get_by_role("slider"), root.locator("output")
        readings = set()
        for key in ("Home", "ArrowRight", "End"):
            press(slider, [key])
            readings.add(said.text_content())
            assert root.locator("img:visible, [role=img]:visible").count() >= 1
        assert len(readings) == 3 or slider.get_attribute("max") == "1"
    assert heard.complaints == []


def test_a_page_without_controls_does_not_load_them(site: Path) -> None:
    assert "explore.js" not in (HTML / "book" / "glossary.html").read_text(encoding="utf-8")
