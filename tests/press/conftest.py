from pathlib import Path

import pytest
from notebook_kit import skeleton


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The skeleton that ``find_root`` and ``run`` need: a table of contents, a package, a lock, an address."""
    return skeleton(tmp_path)
