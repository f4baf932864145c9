"""Every figure of the book: one look, one scale for all maps, and an alternative text for each.

Two kinds of helpers. Those that *draw on given axes* take ``ax`` first: :func:`overlay`, :func:`mask_outline`,
:func:`boxes`. Those that *make a figure* return ``(fig, alt)``, the text being written from the very numbers that are
drawn, so ``figures.show(*figures.gallery(images, maps, threshold=0.3))`` is a complete figure.

One convention everywhere: **solid is the truth, dashed is the prediction**. A map is drawn on the scale 0 to 1 and
never brightened for a single image, because a weak map must look weak.

This is the one package where tensors become NumPy arrays.
"""

from wsss_lib.figures.charts import Table, dial_curves, loss_curve, table, threshold_curve
from wsss_lib.figures.contents import content
from wsss_lib.figures.diagrams import Arrow, Box, Flow, flow
from wsss_lib.figures.galleries import gallery
from wsss_lib.figures.lettering import plain
from wsss_lib.figures.page import DPI, WIDTH, canvas, check_alt, png, show, style
from wsss_lib.figures.pictures import boxes, colourbar, mask_outline, overlay
from wsss_lib.figures.scenes import bird_eye, show_panorama, street
from wsss_lib.figures.spreads import climbs, dots

__all__ = [
    "DPI",
    "WIDTH",
    "Arrow",
    "Box",
    "Flow",
    "Table",
    "bird_eye",
    "boxes",
    "canvas",
    "check_alt",
    "climbs",
    "colourbar",
    "content",
    "dial_curves",
    "dots",
    "flow",
    "gallery",
    "loss_curve",
    "mask_outline",
    "overlay",
    "plain",
    "png",
    "show",
    "show_panorama",
    "street",
    "style",
    "table",
    "threshold_curve",
]
