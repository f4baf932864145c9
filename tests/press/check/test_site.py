from pathlib import Path

import pytest
from notebook_kit import lay

from press.check import site

PAGE = """<html><head><link rel="stylesheet" href="../_static/book.css"><link rel="canonical" href="https://e.org/">
<script src="../_static/a.js?v=1"></script></head><body id="top">
<a href="#here">x</a><a href="b.html#there">x</a><a href="https://example.org/">x</a><a href="../index.html">x</a>
<h2 id="here">Here</h2><img src="../_static/i.png" alt="A map, lit at the head"><img src="../_static/i.png" alt="">
</body></html>"""


@pytest.fixture
def built(tmp_path: Path):
    base = tmp_path / "_build" / "html"
    lay(base, {
        "index.html": "<a href='book/a.html'>x</a>", "book/a.html": PAGE, "book/b.html": '<h2 id="there">x</h2>',
        "_static/book.css": "", "_static/a.js": "", "_static/i.png": "",
    })  # fmt: skip

    def change(old: str, new: str) -> Path:
        assert old in PAGE
        (base / "book/a.html").write_text(PAGE.replace(old, new))
        return tmp_path

    return change


def messages(one, root) -> list[str]:
    return [str(problem) for problem in one(root)]


def test_a_good_site_has_no_problem(built):
    root = built("Here", "There")
    assert [m for one in (site.links, site.externals, site.images) for m in messages(one, root)] == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("b.html#there", "c.html", "book/a.html: links to c.html, which does not exist"),
        ("b.html#there", "b.html#nowhere", "no such place"),
        ("#here", "#her", "no such place"),
        ("../_static/a.js?v=1", "../_static/b.js", "which does not exist"),
        ("../_static/book.css", "../_static/other.css", "which does not exist"),
    ],
)
def test_a_dead_link_is_found(built, old, new, reason):
    assert any(reason in message for message in messages(site.links, built(old, new)))


@pytest.mark.parametrize(
    "new", ["https://cdn.example.org/a.js", "//cdn.example.org/a.js", "http://cdn.example.org/a.js"]
)
def test_what_comes_from_another_host_is_found(built, new):
    assert len(messages(site.externals, built("../_static/a.js?v=1", new))) == 1
    assert len(messages(site.externals, built("../_static/book.css", new))) == 1


@pytest.mark.parametrize("alt", ["../_images/0123.png", "_images/figure of something.png"])
def test_a_file_name_is_no_description(built, alt):
    assert "describe it" in messages(site.images, built("A map, lit at the head", alt))[0]


def test_a_missing_description_is_found(built):
    root = built(' alt="A map, lit at the head"', "")
    assert "alternative text None" in messages(site.images, root)[0]


def test_a_picture_inside_an_output_needs_one_too(built):
    root = built('src="../_static/i.png" alt=""', 'src="data:image/png;base64,aGk=" alt=""')
    assert "alternative text ''" in messages(site.images, root)[0]


def test_where_nothing_is_built_there_is_nothing_to_find(tmp_path):
    assert messages(site.links, tmp_path) == []
