"""The parser: a table of sentences and their triads."""

from __future__ import annotations

import pytest

from wsss_lib.methods.triads import FILLER, PHRASES, Triad, parse

TABLE = {
    "the fenn": ("fenn", "fenn", FILLER),
    "the rust fenn": ("fenn", "fenn", "rust"),
    "The small, rust fenn!": ("fenn", "fenn", "small"),
    "the fenn that is rust": ("fenn", "fenn", "rust"),
    "the fenn left of the taur": ("fenn", "taur", "left"),
    "the fenn to the left of the taur": ("fenn", "taur", "left"),
    "a fenn to the right of a slate taur": ("fenn", "taur", "right"),
    "the rust fenn above the taur": ("fenn", "taur", "above"),
    "the fenn that is below the taur": ("fenn", "taur", "below"),
    "the fenn in front of the taur": ("fenn", "taur", "front"),
    "the fenn behind the taur": ("fenn", "taur", "behind"),
    "the fenn that is larger than the taur": ("fenn", "taur", "larger"),
    "the fenn smaller than the taur that is rust": ("fenn", "taur", "smaller"),
    "the bigger fenn": ("fenn", "fenn", "bigger"),
    "the fenn left of the taur behind the olif": ("fenn", "olif", "left"),
}


@pytest.mark.parametrize(("sentence", "triad"), TABLE.items())
def test_a_table_of_sentences(sentence: str, triad: tuple[str, str, str]) -> None:
    assert parse(sentence) == Triad(*triad)


@pytest.mark.parametrize(("phrase", "word"), PHRASES.items())
def test_every_phrase_is_read(phrase: str, word: str) -> None:
    assert parse(f"the red cup {phrase} the plate") == ("cup", "plate", word)


@pytest.mark.parametrize("sentence", ["", "the", "  ?! ", "left of the taur", "the fenn left of the"])
def test_a_sentence_that_names_nothing_is_refused(sentence: str) -> None:
    with pytest.raises(ValueError, match="names nothing where a thing is expected"):
        parse(sentence)


def test_a_word_within_a_word_is_no_relation() -> None:
    assert parse("the overhead lamp") == ("lamp", "lamp", "overhead")
