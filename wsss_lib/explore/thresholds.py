"""Cut a map at any height: the seed that remains, and how well it covers the object."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from wsss_lib import maps, metrics
from wsss_lib.data.fields import IGNORE
from wsss_lib.explore.control import Control, Reading, spoken
from wsss_lib.explore.pictures import Picture, as_picture, enlarged, packed, picture, webp
from wsss_lib.figures.page import check_alt, to_numpy
from wsss_lib.metrics.accumulate import count_exceeded

HUNDREDTHS = 100
FINEST = 128
"""Pixels: a map with longer sides is drawn coarser. Its numbers are those of the whole map."""


@dataclass(frozen=True)
class Cut:
    """How a seed compares with the object; None where a ratio has nothing to divide by."""

    threshold: float
    iou: float | None
    precision: float | None
    recall: float | None
    area: float
    """The seed's share of the image, in [0, 1]."""

    @property
    def numbers(self) -> dict[str, float | None]:
        """By the names of the read-out."""
        return {"IoU": self.iou, "precision": self.precision, "recall": self.recall}


def cut(heat: Any, truth: Any, threshold: float) -> Cut:
    r"""Cut a map at a threshold and compare what remains with the object: the plain function behind the slider.

    .. math:: S = \{u : m(u) > t\}, \quad \text{IoU} = \frac{|S \cap T|}{|S \cup T|}, \quad
              \text{precision} = \frac{|S \cap T|}{|S|}, \quad \text{recall} = \frac{|S \cap T|}{|T|}

    Args:
        heat: (h, w) in [0, 1]; enlarged to the mask bilinearly.
        truth: (H, W) bool, or integers: above 0 is the object, 255 is not counted.
        threshold: t.

    Returns:
        The three ratios, by the counts of :class:`wsss_lib.metrics.ForegroundSweep`.

    Raises:
        ValueError: Wrong shapes, or NaN in the map.
    """
    return cuts(heat, truth, torch.tensor([threshold], dtype=torch.float64))[0]


def cuts(heat: Any, truth: Any, thresholds: Tensor) -> list[Cut]:
    """:func:`cut` at many rising thresholds, in one pass."""
    values, mask = _planes(heat, truth)
    sweep = metrics.ForegroundSweep(thresholds)
    sweep.update(values[None], mask[None])
    above = sweep.histogram.flip(0).cumsum(0).flip(0)  # (T + 1, 2): pixels above each threshold, by the truth
    total, object_ = int(above[0].sum()), int(above[0, 1])
    ious = sweep.curve("", "").values
    made = []
    for t, threshold in enumerate(sweep.thresholds.tolist()):
        false, true = (int(n) for n in above[t + 1])
        iou = float(ious[t]) if false + object_ else None
        ratios = iou, _ratio(true, false + true), _ratio(true, object_)
        made.append(Cut(threshold, *ratios, area=(false + true) / max(total, 1)))
    return made


def threshold(
    image: Any, heat: Any, truth: Any, *, alt: str, title: str = "Cut the map", start: float = 0.3
) -> Control:
    """A slider that cuts a map at any height, with the seed's outline, its IoU, precision and recall.

    Args:
        image: (3, H, W) in [0, 1].
        heat: (h, w) in [0, 1].
        truth: (H, W) bool, or integers: above 0 is the object, 255 is not counted.
        alt: What a reader who cannot see them should know of image and map.
        title: Above the pictures.
        start: The threshold at first and on paper, in steps of 0.01.

    Returns:
        The control: the last line of a cell shows it, and ``.at(0.5)`` is what it shows there.

    Raises:
        ValueError: Shapes that do not match, values outside [0, 1], or a text that describes nothing.
    """
    return Threshold(image, heat, truth, alt=alt, title=title, start=start)


class Threshold(Control):
    """See :func:`threshold`."""

    kind = "threshold"

    def __init__(self, image: Any, heat: Any, truth: Any, *, alt: str, title: str, start: float) -> None:
        grid = torch.arange(HUNDREDTHS, dtype=torch.float64) / HUNDREDTHS
        super().__init__(title, "threshold", [k / HUNDREDTHS for k in range(HUNDREDTHS)], round(start * HUNDREDTHS))
        self.alt, self.image = check_alt(alt), to_numpy(image)
        self.heat, self.truth = _planes(heat, truth)
        if self.image.shape[-2:] != tuple(self.truth.shape):
            raise ValueError(f"image is {self.image.shape}, truth {tuple(self.truth.shape)}: expected the same size")
        self._cuts, self._grid = cuts(self.heat, self.truth, grid), grid

    def at(self, setting: float) -> Reading:
        """The map cut at a threshold: left the map with the contour, right the seed alone with the true outline."""
        one = cut(self.heat, self.truth, setting)
        return Reading(f"{setting:.2f}", self._drawn(setting), self._sentence(one), one.numbers)

    def _sentence(self, one: Cut) -> str:
        return f"{self.alt} At {one.threshold:.2f} the seed is {one.area:.0%} of the image."

    def _drawn(self, setting: float) -> Picture:
        seed = self.heat > setting
        left = picture(self.image, self.heat, threshold=setting, truth=self.truth)
        kept = self.image * np.where(seed.numpy(), 1.0, 0.3)  # what is not seed fades
        return np.concatenate([left, picture(kept, truth=self.truth)], axis=1)

    def say(self, index: int) -> str:
        return f"{self.settings[index]:.2f}"

    def attributes(self) -> dict[str, str]:
        scale = min(1.0, FINEST / max(self.truth.shape))
        shape = tuple(round(side * scale) for side in self.truth.shape)
        # The number of hundredths that a pixel exceeds: it is in the seed of k/100 where the number is above k.
        coarse = self.heat if scale == 1 else maps.resize(self.heat[None], (shape[0], shape[1]))[0]
        heights = count_exceeded(coarse, self._grid).to(torch.uint8)
        inside = ((self.truth > 0) & (self.truth != IGNORE)).float()
        inside = inside if scale == 1 else maps.resize(inside[None], (shape[0], shape[1]))[0]
        scores = [list(one.numbers.values()) for one in self._cuts]
        colours = np.round(colormaps["viridis"](np.linspace(0, 1, HUNDREDTHS + 1))[:, :3] * 255).astype(np.uint8)
        return {
            "size": f"{shape[1]} {shape[0]}",
            "heights": packed(heights.numpy()),
            "truth": packed(np.packbits(inside.numpy() > 0.5)),
            "scores": packed(np.array([[_hundredth(n) for n in row] for row in scores], dtype=np.uint8)),
            "areas": packed(np.array([_hundredth(one.area) for one in self._cuts], dtype=np.uint8)),
            "colours": base64.b64encode(colours.tobytes()).decode(),
            "names": "|".join(self._cuts[0].numbers),
        }

    def body(self) -> str:
        reading = self.at(self.settings[self.start])
        photo, still = enlarged(as_picture(self.image)), reading.picture
        text = f"{self.label} {reading.setting} · {spoken(reading.numbers)}"
        return (
            f'<div class="wx-live" hidden><img class="wx-photo" src="{webp(photo)}" width="{photo.shape[1]}" '
            f'height="{photo.shape[0]}" alt="{escape(self.alt)}"></div>'
            f'<div class="wx-still"><img src="{webp(still)}" width="{still.shape[1]}" height="{still.shape[0]}" '
            f'alt="{escape(reading.alt)}"><p class="wx-caption">{escape(text)}</p></div>'
            '<p class="wx-key">Solid: the true outline. Dashed: the cut. Left the map, right what it keeps.</p>'
        )


def _planes(heat: Any, truth: Any) -> tuple[Tensor, Tensor]:
    """Map and mask in one size, on the CPU."""
    values, mask = torch.as_tensor(to_numpy(heat)).float(), torch.as_tensor(to_numpy(truth))
    if values.dim() != 2 or mask.dim() != 2:
        raise ValueError(
            f"heat is {tuple(values.shape)}, truth {tuple(mask.shape)}, expected (h, w) and (H, W): index one image "
            "and one class"
        )
    if values.shape != mask.shape:
        values = maps.resize(values[None], (mask.shape[0], mask.shape[1]))[0]
    return values, mask


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _hundredth(value: float | None) -> int:
    """As the read-out prints it (Python rounds half to even); 255 is undefined."""
    return 255 if value is None else round(float(f"{value:.2f}") * 100)
