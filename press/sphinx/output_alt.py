"""Carry an output's alternative text into the page.

``wsss_lib.figures.show(fig, alt=…)`` stores the text in the output's metadata, as Jupyter and nbconvert read it.
MyST-NB reads width and height there but takes ``alt`` from the cell only, where two figures would share one text;
left alone, a screen reader reads out the hash that names the file.
"""

from myst_nb.core.render import NbElementRenderer

_render_image = NbElementRenderer.render_image


def render_image(self, data):
    """MyST-NB's rendering of an image output, then its own alternative text."""
    elements = _render_image(self, data)
    alt = (data.output_metadata.get(data.mime_type) or {}).get("alt")
    if alt:
        elements[0]["alt"] = str(alt)
    return elements


def setup(app):
    NbElementRenderer.render_image = render_image
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
