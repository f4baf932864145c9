"""Names and labels of strangers in pages, drawings and controls: they stand there as words, and do nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wsss_lib import explore, figures
from wsss_lib.explore.control import Control
from wsss_lib.figures.diagrams import Arrow, Box, flow
from wsss_lib.pipeline.report import write_report
from wsss_lib.pipeline.stages import Stage, Work

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "</script><script>alert(1)</script>",
    "</style></title></div><b>",
    "<!-- ",
    "<?xml ?>",
    "javascript:alert(1)",
    "\"&'",
    "&lt;b&gt;",
    "{{7*7}} ${7*7}",
    "a|b",
    "[a](javascript:alert(1))",
]
IMAGE = np.zeros((8, 8, 3), np.uint8)


class Words(HTMLParser):
    """What a browser makes of a page: its tags, and all words that somebody sees or hears."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words += [value for _, value in attrs if value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")


def shape(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """The tags of a page, and the names of their attributes."""
    return [(tag, tuple(attributes)) for tag, attributes in Words(page).tags]


def check(make: Any, word: str, said: str | None = None) -> None:
    """A page with the word has the same tags as one with a plain word, and says it letter for letter."""
    page, plain = make(word), make("plain words here")
    assert shape(page) == shape(plain)
    assert any((said or word) in words for words in Words(page).words)
    for tag, attributes in Words(page).tags:
        assert not any(name.startswith("on") for name in attributes)
        assert not (attributes.get("href") or attributes.get("src") or "").lower().startswith("javascript")
        assert tag != "script" or attributes.get("data-wx") is not None


def stepped(word: str) -> str:
    made: Control = explore.steps(
        [IMAGE, IMAGE], [word, "other"], word, alt=[f"A square: {word} is drawn.", "Another square is drawn."],
        numbers=[{word: 0.5}, {word: None}], dial=word,
    )  # fmt: skip
    return made.html()


def drawn_aside(word: str) -> str:
    return explore.curtain(
        [IMAGE], [IMAGE], (word, "other"), alt=f"A square: {word} is drawn.", title=word, titles=[word]
    ).html()


def cut(word: str) -> str:
    image, heat = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.linspace(0, 1, 64).view(8, 8)
    return explore.threshold(image, heat, heat > 0.5, alt=f"A square: {word} is drawn.", title=word).html()


def asked(word: str) -> str:
    return explore.predict(word, {word: f"It is {word}.", "other": f"It is no {word}."}, word)._repr_html_()


def tabled(word: str) -> str:
    return figures.table([{word: word, "IoU": 0.5}], caption=word)._repr_html_()


def flowing(word: str) -> str:
    boxes = [[Box("one", word)], [Box("two", f"{word}\n{word}", "loss")]]
    return flow(boxes, [Arrow("one", "two", stop=f"It stops for {word}.")], title=f"{word}.")._repr_html_()


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("make", [asked, tabled, flowing])
def test_a_question_a_table_or_a_drawing_says_it_and_does_nothing(make: Any, word: str) -> None:
    check(make, word)


@pytest.mark.parametrize("word", HOSTILE[:6])
@pytest.mark.parametrize("make", [stepped, drawn_aside])
def test_a_control_says_it_and_does_nothing(make: Any, word: str) -> None:
    check(make, word)


def test_a_cut_says_it_and_does_nothing() -> None:
    check(cut, HOSTILE[1])


@pytest.mark.parametrize("word", HOSTILE)
def test_a_table_in_markdown_begins_no_tag_and_no_column(word: str) -> None:
    text = str(figures.table([{word: word, "IoU": 0.5}], caption=word))
    assert not Words(text).tags
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.replace("\\|", "").count("|") for line in lines] == [3, 3, 3]


@pytest.mark.parametrize("word", ["a|b", "|", "||"])
def test_a_bar_in_a_name_moves_no_other_word_of_a_curtain(word: str) -> None:
    control = explore.curtain(IMAGE, IMAGE, (word, "other"), alt="A square is drawn here.", title="A title")
    said = control.attributes()["say"].split("|")
    assert len(said) == len(control.settings)
    assert (said[0], said[10]) == ("only other", f"50 % {word.replace('|', '¦')}, 50 % other")


def test_widgets_say_it_and_do_nothing() -> None:
    for word in HOSTILE:
        control = explore.steps([IMAGE] * 2, [word, "other"], word, alt=[f"A square: {word} is drawn."] * 2)
        for child in control.widget().children:
            if hasattr(child, "value") and isinstance(child.value, str):
                assert {tag for tag, _ in Words(child.value).tags} <= {"b"}


def report(folder: Path, word: str) -> str:
    work = Work(folder, folder / "out", None)
    share = {"photo": word, "overlay": f"masks/{word}.png", "share": 0.001, "labelled": True}
    work.results |= {
        "labels": {
            "source": word, "classes": [word], "counts": {word: 1}, "notes": [word], "failures": [word],
        },
        "threshold": {"iou": {word: 0.5}},
        "maps": {"doubted": [{"photo": word, "class": word, "score": 0.5}]},
        "masks": {"shares": [share]},
        "network": {"steps": 0},
    }  # fmt: skip
    stages = [Stage(word, lambda work: {}, lambda result: word)]
    work.results[word] = {}
    return write_report(work, [word], stages).read_text(encoding="utf-8")


@pytest.mark.parametrize("word", HOSTILE)
def test_a_report_of_the_pipeline_says_it_and_does_nothing(tmp_path: Path, word: str) -> None:
    check(lambda words: report(tmp_path, words), word)
