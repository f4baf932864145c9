"""What runs, checks and renders the chapters; a chapter itself uses :func:`begin`, :func:`say`, :func:`pick_device`.

Everything that needs papermill, nbformat or Sphinx lives in the submodules, which a reader's kernel never imports.
``guards`` says what a stored chapter must be (:mod:`wsss_lib.notebooks.check` asks all of them), ``running`` executes,
``teach`` cuts editions for courses, ``publish`` makes the site, the PDF and the archive.
"""

from wsss_lib.notebooks.keep import keep_in
from wsss_lib.notebooks.session import begin, pick_device, say

__all__ = ["begin", "keep_in", "pick_device", "say"]
