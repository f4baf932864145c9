"""Pictures to compare: a chart whose curve can be bent, as bytes and as a cell's output."""

import base64
import io

import nbformat
import numpy as np
from PIL import Image


def png(pixels: np.ndarray, form: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format=form, **options)
    return buffer.getvalue()


def chart(bend: float = 0.0, noise: float = 0.0, size: tuple[int, int] = (360, 640)) -> np.ndarray:
    """A white picture with a dark curve of two pixels, which can be bent."""
    height, width = size
    pixels = np.full((height, width, 3), 255.0)
    x = np.arange(width)
    y = (height * (0.5 + 0.3 * np.sin(x / 90) + bend * x / width)).astype(int).clip(0, height - 3)
    for thick in range(3):
        pixels[y + thick, x] = (30, 60, 160)
    return (pixels + noise * np.random.default_rng(0).normal(size=pixels.shape)).clip(0, 255)


def shown(data: bytes | str, mime: str = "image/png", shows: str = "") -> list[nbformat.NotebookNode]:
    """A picture, or HTML, as a cell's outputs."""
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    about = {mime: {"alt": "a curve", "shows": shows}} if shows else {}
    return [nbformat.v4.new_output("display_data", {mime: text, "text/plain": "Figure: a curve"}, metadata=about)]


def inside(data: bytes) -> list[nbformat.NotebookNode]:
    """A picture or data inside HTML, as a control holds them."""
    return shown(f'<img alt="x" src="data:image/png;base64,{base64.b64encode(data).decode()}">', "text/html")
