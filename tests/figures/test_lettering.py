"""Names of strangers on figures: other scripts are legible, dollar signs start no formula."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager, get_data_path
from matplotlib.text import Text

from wsss_lib import figures
from wsss_lib.figures import lettering

PRICE = r"$\frac{ or $5"  # as a formula an error, and two dollar signs make it one
IMAGES = np.zeros((2, 3, 16, 16), dtype=np.float32)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    lettering._font_with.cache_clear()


def words(fig) -> list[str]:
    return [text.get_text() for text in fig.findobj(Text)]


def test_dollar_signs_are_no_formula() -> None:
    gallery, _ = figures.gallery(IMAGES, titles=[PRICE, "b"])
    beside, _ = figures.gallery(IMAGES, {"CAM": np.zeros((2, 4, 4))}, titles=[PRICE, "b"])
    boxed, ax = figures.canvas()
    figures.overlay(ax, IMAGES[0], title=figures.plain(PRICE))
    figures.boxes(ax, [[1, 1, 9, 9]], labels=[PRICE])
    for fig, count in ((gallery, 1), (beside, 1), (boxed, 2)):
        assert sum("frac" in text for text in words(fig)) == count
        assert figures.png(fig).startswith(b"\x89PNG")


def test_letters_that_no_font_has_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    fig, _ = figures.gallery(IMAGES, titles=["猫 café", "two\nlines"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of glyphs that it lacks
        figures.png(fig)
    assert r"\u732b café" in words(fig)
    assert "two\nlines" in words(fig)


def test_letters_of_another_script_get_a_font_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = Path(get_data_path(), "fonts", "ttf")  # files: a list of fonts may lack one
    stand_in, own = str(shipped / "STIXGeneral.ttf"), font_manager.get_font(shipped / "DejaVuSans.ttf")
    letters = font_manager.get_font(stand_in).get_charmap()
    rare = next(chr(code) for code in letters if code > 0x100 and not own.get_char_index(code))
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/absent/font.ttf", stand_in])
    fig, _ = figures.gallery(IMAGES, titles=[f"cat {rare}", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.png(fig)
    families = {text.get_text(): text.get_fontfamily() for text in fig.findobj(Text)}
    assert families[f"cat {rare}"] == ["DejaVu Sans", "STIXGeneral"]
    assert families["b"] == ["DejaVu Sans"]
