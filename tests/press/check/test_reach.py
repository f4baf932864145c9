"""What a chapter can come to run, in a small package whose every import style occurs in the real one."""

import ast
from pathlib import Path

import pytest
from notebook_kit import lay

from press.check.reach import Library, reached

FILES = {
    "__init__.py": "from wsss_lib.methods.cam import CAM\n",
    "maps/__init__.py": "from .scores import normalise, resize\nfrom . import masks\n__all__ = ['normalise']\n",
    "maps/scores.py": "import torch\nEPS = 1\ndef normalise(x): return x / EPS\ndef resize(x): return torch.f(x)\n",
    "maps/masks.py": "LOW = 0\nHIGH: int = 1\ndef cut(x: Threshold) -> LOW: return x > HIGH\n",
    "methods/__init__.py": "from wsss_lib.methods.cam import CAM\nfrom wsss_lib.methods.bas import BAS\n",
    "methods/cam.py": (
        "from wsss_lib import maps\nfrom wsss_lib.methods.taps import Base as Parent\n"
        "class CAM(Parent):\n    '''Text.'''\n    def go(self):\n        from wsss_lib.late import work\n"
        "        return maps.normalise(work())\n"
    ),
    "methods/bas.py": "class BAS: pass\n",
    "methods/base.py": "class Base: pass\nclass Other: pass\n",
    "late.py": "TABLE = {}\nTABLE['a'] = 1\nTABLE.update(b=2)\ndef work(): return TABLE\ndef idle(): pass\n",
    "asked.py": "_LATER = {'x': 'late'}\ndef __getattr__(name): return _LATER[name]\n",
    "guarded.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nONE = 1\n",
}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(lay(tmp_path / "wsss_lib", FILES))


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("from wsss_lib.maps import normalise\nnormalise(1)", ["maps.scores.EPS", "maps.scores.normalise"]),
        ("from wsss_lib import maps\nmaps.resize(1)", ["maps.scores.resize"]),
        ("import wsss_lib.maps.scores as s\ns.resize(1)", ["maps.scores.resize"]),
        ("import wsss_lib.maps.scores\nwsss_lib.maps.scores.resize(1)", ["maps.scores.resize"]),
        ("from wsss_lib.maps import masks\nmasks.cut(1)", ["maps.masks.HIGH", "maps.masks.cut"]),
        ("from wsss_lib import maps\nmaps.masks.LOW", ["maps.masks.LOW"]),
        ("from wsss_lib.maps import normalise", []),
        ("def f():\n    from wsss_lib.maps import resize\n    return resize", ["maps.scores.resize"]),
        (
            "from wsss_lib.methods import CAM\nCAM()",
            ["late.<0>", "late.TABLE", "late.work", "maps.scores.EPS", "maps.scores.normalise", "methods.base.Base",
             "methods.cam.CAM"],
        ),
        ("from wsss_lib.guarded import ONE\nONE", ["guarded.ONE"]),
        ("from wsss_lib.asked import x\nx", ["asked._LATER", "asked.__getattr__"]),
        ("from wsss_lib import late\nhelp(late)", ["late.<0>", "late.TABLE", "late.idle", "late.work"]),
        ("import torch\ntorch.f(1)", []),
    ],
)  # fmt: skip
def test_names_are_followed_to_where_they_are_defined(library, code, names):
    found = reached([ast.parse(code)], library)
    assert [name.removeprefix("wsss_lib.") for name in found] == names


def test_docstrings_and_annotations_do_not_count_and_code_does(library):
    def text() -> str:
        code = "from wsss_lib.maps.masks import cut\nfrom wsss_lib.methods import CAM\ncut(CAM)"
        return str(reached([ast.parse(code)], Library(library.package)))

    before = text()
    for name, old, new in (("maps/masks.py", ": Threshold", ": float"), ("methods/cam.py", "Text.", "Another text.")):
        path = library.package / name
        path.write_text(path.read_text().replace(old, new))
    assert text() == before
    path = library.package / "late.py"
    path.write_text(FILES["late.py"].replace("b=2", "b=3"))
    assert text() != before


def test_the_real_library_is_followed_far_enough():
    package = Path(__file__).resolve().parents[3] / "wsss_lib"
    found = reached([ast.parse("from wsss_lib.experiments.workbench import Lab\nLab()")], Library(package))
    for name in ("methods.cam.CAM", "train.loop.fit", "data.critters.scene.render", "maps.scores.normalise"):
        assert f"wsss_lib.{name}" in found
    assert "wsss_lib.experiments.studies.common.write" not in found
    assert not any(name.startswith("press.check") for name in found)
