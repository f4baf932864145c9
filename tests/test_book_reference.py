"""The reference: every public name has an entry, and entries and chapters lead to each other."""

import importlib
import re
import sys
from types import SimpleNamespace

import pytest
from book_kit import ROOT

PAGES = sorted((ROOT / "book" / "api").glob("*.md"))


@pytest.fixture(scope="module")
def reference():
    sys.path.insert(0, str(ROOT / "press" / "sphinx"))  # where Sphinx finds its extensions
    try:
        yield importlib.import_module("reference")
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_rooms_page_has_what_the_room_exports(reference, page):
    modules = re.findall(r"^\.\. api:: (\S+)$", page.read_text(encoding="utf-8"), re.M)
    assert modules[0] == f"wsss_lib.{page.stem}"
    entries = {name for module in modules for name in reference.public(module)}
    exported = set(importlib.import_module(modules[0]).__all__)
    assert exported <= entries
    assert not [name for name in entries if name.startswith("_")]


def test_names_stand_under_the_path_by_which_they_are_imported(reference):
    assert reference.public("wsss_lib.maps.scores")["normalise"] == "wsss_lib.maps.normalise"
    built = reference.public("wsss_lib.methods.bas")
    assert (built["BAS"], built["activation"]) == ("wsss_lib.methods.BAS", "wsss_lib.methods.bas.activation")
    assert "TwoQuestions" not in reference.public("wsss_lib.experiments.workbench"), "what a module imports is not its"


def test_a_role_that_names_nothing_is_not_passed_over(reference):
    env = SimpleNamespace(wsss_paths={"book/api/maps": {"wsss_lib.maps.scores.normalise": "wsss_lib.maps.normalise"}})

    def resolved(target: str, **more: str):
        node = {"refdomain": "py", "reftype": "func", "refdoc": "book/api/maps", "reftarget": target} | more
        env.domains = {"py": SimpleNamespace(objects={})}
        return reference.existing(None, env, node, "plain")

    assert resolved("torch.Tensor") == resolved("wsss_lib.files.sha256_of") == "plain"
    assert resolved("resize") == "plain", "from the file of something that this page documents"
    assert resolved("wsss_lib.maps.normalize") is resolved("nothing") is None


def test_a_signature_is_python(reference):
    arguments = "(lab: ~a.B, *, c: list = <factory>)"
    assert reference.signature(None, "class", "", None, None, arguments, None) == (
        "(lab: ~a.B, *, c: list = ...)",
        None,
    )
    assert reference.signature(None, "data", "", None, None, None, None) == (None, None)


def test_an_entry_and_its_chapter_lead_to_each_other(built):
    page, chapter = (built / "book/api/maps.html").read_text(), (built / "book/chapters/01_cam.html").read_text()
    entry = page[page.index('id="wsss_lib.maps.seeds"') :]
    assert re.search(r'Built in <a [^>]*href="\.\./chapters/01_cam\.html"', entry)
    builds = re.search(r"<dt>Builds</dt><dd>(.*?)</dd>", chapter)
    assert builds
    assert '<a href="../api/maps.html#wsss_lib.maps.seeds"><code>seeds</code></a>' in builds[1]
    assert "<dt>Builds</dt>" not in (built / "book/chapters/00_world.html").read_text()


def test_docstrings_are_set_as_they_are_meant(built):
    page = (built / "book/api/maps.html").read_text()
    for shown in ("wsss_lib.maps.", "Parameters", "Raises"):
        assert shown in page
    assert "Args:" not in page
