"""What tests of several folders share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """A small book, not built yet (see ``book_kit``); a test that changes it puts it back."""
    from book_kit import lay_out

    root = tmp_path_factory.mktemp("book")
    lay_out(root)
    return root


@pytest.fixture(scope="session")
def built(sample) -> Path:
    """The folder of its pages."""
    from press.publish.build import build

    messages: list[str] = []
    page = build(sample, tell=messages.append)
    assert page == sample / "_build/html/index.html", messages
    return sample / "_build" / "html"


@pytest.fixture
def chapter(built) -> str:
    """The page of one of its chapters."""
    return (built / "book/chapters/01_cam.html").read_text()
