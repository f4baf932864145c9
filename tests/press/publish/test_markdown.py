"""Pages as Markdown: what a page shows is there, what only a screen needs is not."""

import os

import pytest

from press.publish import markdown

FRAME = (
    '<html><head><meta name="description" content="About  a"></head><body><nav>menu</nav>'
    '<article class="bd-article">{}</article></body></html>'
)
CELL = '<div class="cell"><div class="cell_input"><pre>x = 1\n</pre></div><div><pre>1</pre></div></div>'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            '<section><h2>A <em>b</em><a class="headerlink">#</a></h2><p>c\n d</p></section>',
            "## A *b*\n\nc d",
        ),
        ("<p><strong>a</strong> <code>b</code> <strong></strong></p>", "**a** `b`"),
        ("loose <em>words</em><p>then</p>more", "loose *words*\n\nthen\n\nmore"),
        (
            '<p><a href="../b.html#c">d</a> <a href="https://e.org/f.html">g</a></p>',
            "[d](../b.md) [g](https://e.org/f.html)",
        ),
        ('<p><span class="math">\\(x^2\\)</span></p>', "$x^2$"),
        ('<div class="math">\\[x^2\\]</div>', "$$x^2$$"),
        ("<ol><li><p>a</p><ul><li>b</li></ul></li><li>c</li></ol>", "1. a\n\n   - b\n2. c"),
        (
            "<table><caption>T</caption><tr><th>a</th><th>b|c</th></tr><tr><td>1</td></tr></table>",
            "**T**\n\n| a | b\\|c |\n| --- | --- |\n| 1 |  |",
        ),
        (CELL, "```python\nx = 1\n```\n\n```\n1\n```"),
        ('<img alt="A map" src="../_images/1.png">', "![A map](../_images/1.png)"),
        ('<img alt="A map" src="data:image/png;base64,AAAA">', "*Figure: A map*"),
        ('<figure class="flow"><svg aria-label="Data flow"><text>F</text></svg></figure>', "*Figure: Data flow*"),
        ('<div class="wsss-explore" aria-label="Turn it"><img alt="1" src="data:,"></div>', "*Control: Turn it*"),
        ("<details><summary>Why?</summary><p>So.</p></details>", "**Why?**\n\nSo."),
        ('<div class="admonition"><p>Note</p><p>a</p></div>', "> Note\n>\n> a"),
        ('<dl><dt class="sig">f(<em>x: int</em>)</dt><dd><p>Doc.</p></dd></dl>', "`f(x: int)`\n\nDoc."),
        ("<dl><div><dt>Needs</dt><dd>a</dd></div></dl>", "**Needs**\n\na"),
        ("<p>a</p><script>b()</script><style>c</style>", "a"),
    ],
)
def test_an_element(html, expected):
    assert markdown.converted(FRAME.format(html)) == expected + "\n"


def test_plumbing_is_left_out_and_solutions_are_not():
    folded = '<details class="admonition hide"><summary>Show</summary><pre>plumbing</pre></details><p>{}</p>'
    hidden = f'<div class="cell tag_hide-input">{folded.format("result")}</div>'
    solution = f'<div class="cell tag_solution tag_hide-input">{folded.format("end")}</div>'
    assert markdown.converted(FRAME.format(hidden)) == "result\n"
    assert markdown.converted(FRAME.format(solution)) == "```\nplumbing\n```\n\nend\n"


def test_the_list_of_pages_and_what_is_written_again(tmp_path):
    for name in ("w", "a"):
        (tmp_path / f"{name}.html").write_text(FRAME.format(f"<h1>The {name}</h1><p>Text.</p>"))
    parts = {"": ["w"], "Part": ["a"]}
    markdown.write(tmp_path, "Book", parts)
    listed = "# Book\n\n> About a\n\n- [The w](w.md)\n\n## Part\n\n- [The a](a.md): About a\n"
    assert (tmp_path / "llms.txt").read_text() == listed
    assert (tmp_path / "a.md").read_text() == "# The a\n\nText.\n"
    (tmp_path / "a.md").write_text("# The a\n\nOlder.\n")
    later = (tmp_path / "a.md").stat().st_mtime_ns + 1
    os.utime(tmp_path / "w.html", ns=(0, 0))
    os.utime(tmp_path / "a.html", ns=(later, later))
    kept = (tmp_path / "w.md").stat().st_mtime_ns
    markdown.write(tmp_path, "Book", parts)
    assert (tmp_path / "a.md").read_text() == "# The a\n\nText.\n"
    assert (tmp_path / "w.md").stat().st_mtime_ns == kept
