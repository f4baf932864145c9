"""Words of any script on a figure: in a font that has their letters, and never taken for mathematics."""

from __future__ import annotations

from functools import lru_cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

MOST = 400
"""Font files of this machine that are opened at most, to find one that has certain letters."""


def plain(text: object) -> str:
    """A text whose dollar signs are dollar signs: a class's or a file's name never starts a formula."""
    return str(text).replace("$", r"\$")


def complete(fig: Figure) -> None:
    """Add to each text of a figure a font of this machine for the letters that the book's font lacks.

    Where no font has them, they are written as Python escapes them: "猫" becomes "\\u732b".
    """
    for text in fig.findobj(Text):
        words, fonts = text.get_text(), [font_manager.get_font(font_manager.findfont(text.get_fontproperties()))]
        for letter in sorted(set(words) - {"\n"}):
            if any(font.get_char_index(ord(letter)) for font in fonts):
                continue
            font = _font_with(letter)
            if font is None:
                words = words.replace(letter, letter.encode("unicode_escape").decode())
            else:
                fonts.append(font)
        if words != text.get_text():
            text.set_text(words)
        if len(fonts) > 1:
            text.set_fontfamily([*text.get_fontfamily(), *(font.family_name for font in fonts[1:])])


@lru_cache(maxsize=256)
def _font_with(letter: str) -> FT2Font | None:
    """An upright font of this machine that has a letter; None if there is none."""
    files = sorted(font_manager.findSystemFonts(), key=lambda file: ("Regular" not in file, "Sans" not in file, file))
    for file in files[:MOST]:
        try:
            font = font_manager.get_font(file)
        except (OSError, RuntimeError):  # a font file that FreeType cannot read is none
            continue
        if font.scalable and font.get_char_index(ord(letter)):
            font_manager.fontManager.addfont(file)
            return font
    return None
