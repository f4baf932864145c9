"""Controls that a reader can move with no kernel, no network and no widget library.

One call makes a control twice. As the last line of a cell it is plain HTML: a picture and its numbers, with a slider
that a few lines of JavaScript bring to life on a page, in a stored notebook and from a file; where scripts are off, and
on paper, its starting state stands. In a live notebook the same call offers ``ipywidgets``, driven by the same plain
function, :meth:`Control.at`, which is there to be called alone::

    control = explore.threshold(image, heat, mask, alt="A fenn; its map is bright on the head and dark on the legs.")
    control              # the slider
    control.at(0.5)      # what it shows at 0.5: a picture, numbers, words
    explore.cut(heat, mask, 0.5)

- :func:`threshold`: cut a map at every height, with IoU, precision and recall.
- :func:`steps`: one picture for each setting of a dial.
- :func:`curtain`: one picture drawn aside over another.
- :func:`click`: a click dragged over a plane, with the box that was made of it.
- :func:`predict`: a question whose options open to feedback.

Solid is the truth and dashed the prediction, as in :mod:`wsss_lib.figures`.
"""

from wsss_lib.explore.clicks import click
from wsss_lib.explore.control import Control, Reading
from wsss_lib.explore.curtains import curtain, drawn_aside
from wsss_lib.explore.pictures import picture
from wsss_lib.explore.question import Question, predict
from wsss_lib.explore.series import steps
from wsss_lib.explore.thresholds import Cut, cut, cuts, threshold

__all__ = [
    "Control", "Cut", "Question", "Reading", "click", "curtain", "cut", "cuts", "drawn_aside", "picture", "predict",
    "steps", "threshold",
]  # fmt: skip
