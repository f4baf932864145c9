import sys

import pytest
from notebook_kit import as_text, notebook

from press.chapter import Chapter
from press.check import drift

LIBRARY = '''
import functools

def lit(maps: "Tensor", threshold: float = 0.5) -> "Tensor":
    """Pixels at or above the threshold.

    Built in chapter 1.
    """
    bright = maps >= threshold
    return bright

def _private(): ...

class CAM:
    """Built in chapter 2."""
    scale: float = 1.0

    def localize(self, images):
        return images * self.scale

@functools.cache
def cached(x):
    return x
'''


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    package = tmp_path / "tiny_lib"
    (package / "methods").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "methods" / "__init__.py").write_text("from tiny_lib.methods.cam import lit, CAM\n")
    (package / "easy.py").write_text("from .methods.cam import lit as bright\nfrom os.path import join\n")
    (package / "methods" / "cam.py").write_text(LIBRARY)
    (package / "cli").mkdir()
    (package / "cli" / "run.py").write_text("def machinery(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(drift, "PACKAGE", "tiny_lib")
    drift._library.cache_clear()

    def make(*codes, name="03_other"):
        return Chapter(tmp_path / f"{name}.ipynb", notebook(name, *codes))

    yield make
    drift._library.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny_lib"]:
        del sys.modules[name]


def messages(one, chapter) -> str:
    return as_text(one(chapter))


LIT = """\
def lit(maps, threshold=0.5):
    'Another docstring.'
    bright = maps >= threshold  # a comment
    return bright"""


@pytest.mark.parametrize("name", ["tiny_lib.methods.cam.lit", "tiny_lib.methods.lit", "tiny_lib.easy.bright"])
def test_a_mirror_may_differ_in_docstring_annotations_and_comments(chapter, name):
    assert messages(drift.mirrors, chapter((LIT, {"mirror": name}))) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [(">=", ">"), ("0.5", "0.4"), ("return bright", "return maps"), ("    bright =", "    x = 1\n    bright =")],
)
def test_a_mirror_that_drifted_is_found(chapter, old, new):
    bad = chapter((LIT.replace(old, new), {"mirror": "tiny_lib.methods.cam.lit"}))
    assert "lit is no longer the code of tiny_lib.methods.cam.lit (here `" in messages(drift.mirrors, bad)


def test_a_lost_decorator_is_drift(chapter):
    plain = "def cached(x):\n    return x"
    name = {"mirror": "tiny_lib.methods.cam.cached"}
    assert "no longer the code" in messages(drift.mirrors, chapter((plain, name)))
    assert messages(drift.mirrors, chapter((f"import functools\n@functools.cache\n{plain}", name))) == ""


def test_a_class_is_mirrored_with_its_methods(chapter):
    text = "class CAM:\n    scale = 1.0\n\n    def localize(self, images):\n        return images * self.scale"
    name = {"mirror": "tiny_lib.methods.cam.CAM"}
    assert messages(drift.mirrors, chapter((text, name))) == ""
    assert "no longer" in messages(drift.mirrors, chapter((text.replace("images *", "images +"), name)))


def test_a_mirror_of_nothing_is_found(chapter):
    assert "does not have" in messages(drift.mirrors, chapter((LIT, {"mirror": "tiny_lib.methods.cam.dark"})))
    assert "does not have" in messages(drift.mirrors, chapter((LIT, {"mirror": "tiny_lib.easy.join"})))
    assert "does not define lit" in messages(drift.mirrors, chapter(("x = 1", {"mirror": "tiny_lib.methods.cam.lit"})))


DERIVES = {"derives": "tiny_lib.methods.cam.lit"}
MINE = ("def my_lit(maps): return maps > 0", DERIVES)


@pytest.mark.parametrize(
    "proof",
    [
        "from tiny_lib.methods import cam\nassert my_lit(x).equal(cam.lit(x))",
        "from tiny_lib.methods.cam import lit\nassert torch.equal(my_lit(x), lit(x))",
        "from tiny_lib.methods import lit as theirs\ntorch.testing.assert_close(my_lit(x), theirs(x))",
        "from tiny_lib.methods import cam\na = my_lit(x)\nb = cam.lit(x)\ngap = abs(a - b)\nassert gap < 1e-6",
        "from tiny_lib.methods import cam\nfor a in my_lit(x):\n    assert a == cam.lit(x)[0]",
    ],
    ids=["attribute", "name", "alias", "variables", "loop"],
)
def test_a_derivation_with_a_proof_passes(chapter, proof):
    assert messages(drift.derivations, chapter(MINE, proof)) == ""


@pytest.mark.parametrize(
    "proof",
    [
        "",
        "my_lit(x) == cam.lit(x)",
        "assert my_lit(x) is not None",
        "assert cam.lit(x) is not None",
        "lit = 3\nassert my_lit(x) == lit",
        "a = my_lit(x)\nb = cam.lit(x)\nassert True",
        "assert my_lit(x).shape == cam.lit(x).shape",
    ],
    ids=["none", "no assertion", "only mine", "only theirs", "another lit", "unrelated assertion", "shapes only"],
)
def test_a_derivation_without_a_proof_is_found(chapter, proof):
    assert "no later cell asserts that my_lit equals it" in messages(drift.derivations, chapter(MINE, proof))


def test_a_proof_before_the_definition_does_not_count(chapter):
    proof = "from tiny_lib.methods import cam\nassert my_lit(x).equal(cam.lit(x))"
    assert "no later cell" in messages(drift.derivations, chapter(proof, MINE))


def test_a_method_may_be_derived(chapter):
    mine = ("def locate(images): return images", {"derives": "tiny_lib.methods.cam.CAM.localize"})
    proof = "from tiny_lib.methods import CAM\nassert locate(x).equal(CAM().localize(x))"
    assert messages(drift.derivations, chapter(mine, proof)) == ""


def test_a_derivation_of_nothing_is_found(chapter):
    bad = chapter(("def f(): ...", {"derives": "tiny_lib.methods.cam.dark"}))
    assert "does not have" in messages(drift.derivations, bad)
    assert "defines nothing" in messages(drift.derivations, chapter(("x = 1", DERIVES)))


def test_a_namesake_must_declare_itself(chapter):
    assert "the library has as tiny_lib.methods.cam.lit" in messages(drift.namesakes, chapter(LIT))
    assert messages(drift.namesakes, chapter((LIT, DERIVES))) == ""
    assert messages(drift.namesakes, chapter("def other(): ...\ndef _private(): ...\ndef machinery(): ...")) == ""
    assert messages(drift.namesakes, chapter("def outer():\n    def lit(): ...")) == ""


@pytest.mark.parametrize(
    "code",
    [
        "if ready:\n    def lit(maps): ...",
        "try:\n    from fast import lit\nexcept ImportError:\n    def lit(maps): ...",
        "with torch.no_grad():\n    class CAM: ...",
        "async def lit(maps): ...",
        "lit: object = lambda maps: maps",
        "print(lit := lambda maps: maps)",
        "if ready:\n    lit = functools.partial(torch.ge, other=0.5)",
    ],
)
def test_a_namesake_is_found_however_it_is_defined(chapter, code):
    assert "which the library has as tiny_lib.methods.cam." in messages(drift.namesakes, chapter(code))


def test_of_two_definitions_in_a_mirror_the_last_counts(chapter):
    name = {"mirror": "tiny_lib.methods.cam.lit"}
    other = "def lit(maps):\n    return maps"
    assert "is no longer the code" in messages(drift.mirrors, chapter((f"{LIT}\n\n\n{other}", name)))
    assert messages(drift.mirrors, chapter((f"{other}\n\n\n{LIT}", name))) == ""


def test_what_the_library_says_is_built_here_is_built_here(chapter):
    assert "does not build tiny_lib.methods.cam.lit" in messages(drift.built_here, chapter("x", name="01_cam"))
    assert messages(drift.built_here, chapter(MINE, name="01_cam")) == ""
    part = ("def f(): ...", {"derives": "tiny_lib.methods.cam.CAM.localize"})
    assert messages(drift.built_here, chapter(part, name="02_eigen_cam")) == ""
    assert "tiny_lib.methods.cam.CAM" in messages(drift.built_here, chapter("x", name="02_eigen_cam"))
    assert messages(drift.built_here, chapter("x", name="03_bas")) == ""
