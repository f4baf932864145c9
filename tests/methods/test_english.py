"""Free English: triads from trees that are written out, and from those that spaCy finds where it is installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from wsss_lib.methods import english
from wsss_lib.methods.dtmr import PARSERS, DTMRConfig
from wsss_lib.methods.english import Token, parse_english, tree, triad_of
from wsss_lib.methods.triads import FILLER, Triad

# Expression: its tree, each word as text/base/kind/link/head, and its triad.
TREES = {
    "the lady in the long coat": (
        "the/the/DET/det/1 lady/lady/NOUN/ROOT/1 in/in/ADP/prep/1 the/the/DET/det/5 long/long/ADJ/amod/5 "
        "coat/coat/NOUN/pobj/2",
        ("lady", "coat", "in")),
    "left dog": (
        "the/the/DET/det/2 left/left/ADJ/amod/2 dog/dog/NOUN/ROOT/2",
        ("dog", "dog", "left")),
    "the monkey on the far right": (
        "the/the/DET/det/1 monkey/monkey/NOUN/ROOT/1 on/on/ADP/prep/1 the/the/DET/det/5 "
        "far/far/ADV/amod/5 right/right/NOUN/pobj/2",
        ("monkey", "monkey", "right")),
    "tea pot next to the red kettle": (
        "the/the/DET/det/2 tea/tea/NOUN/compound/2 pot/pot/NOUN/ROOT/2 next/next/ADV/advmod/2 "
        "to/to/ADP/prep/3 the/the/DET/det/7 red/red/PROPN/amod/7 kettle/kettle/NOUN/pobj/4",
        ("pot", "kettle", "beside")),
    "nurse pushing an old man": (
        "the/the/DET/det/1 nurse/nurse/NOUN/ROOT/1 pushing/push/VERB/acl/1 an/an/DET/det/5 "
        "old/old/ADJ/amod/5 man/man/NOUN/dobj/2",
        ("nurse", "man", "push")),
    "crate on the left side of the shed": (
        "the/the/DET/det/1 crate/crate/NOUN/ROOT/1 on/on/ADP/prep/1 the/the/DET/det/5 "
        "left/left/ADJ/amod/5 side/side/NOUN/pobj/2 of/of/ADP/prep/5 the/the/DET/det/8 "
        "shed/shed/NOUN/pobj/6",
        ("crate", "shed", "left")),
    "the boat nearest to the pier": (
        "the/the/DET/det/1 boat/boat/NOUN/nsubj/2 nearest/near/ADJ/ROOT/2 to/to/ADP/prep/2 "
        "the/the/DET/det/5 pier/pier/NOUN/pobj/3",
        ("boat", "pier", "nearest")),
    "the wolf that is grey": (
        "the/the/DET/det/1 wolf/wolf/NOUN/ROOT/1 that/that/PRON/nsubj/3 is/be/AUX/relcl/1 "
        "grey/grey/ADJ/acomp/3",
        ("wolf", "wolf", "grey")),
    "tiny owl": (
        "the/the/DET/det/2 tiny/tiny/ADJ/amod/2 owl/owl/NOUN/ROOT/2",
        ("owl", "owl", "tiny")),
    "the bigger of the two tents": (
        "the/the/DET/det/1 bigger/big/ADJ/ROOT/1 of/of/ADP/prep/1 the/the/DET/det/5 two/two/NUM/nummod/5 "
        "tents/tent/NOUN/pobj/2",
        ("one", "tent", "bigger")),
    "parrot with wings spread": (
        "the/the/DET/det/1 parrot/parrot/NOUN/nsubj/4 with/with/ADP/prep/1 wings/wing/NOUN/pobj/2 "
        "spread/spread/VERB/ROOT/4",
        ("parrot", "wing", "with")),
    "the fox crawling out from under the fence": (
        "the/the/DET/det/1 fox/fox/NOUN/nsubj/2 crawling/crawl/VERB/ROOT/2 out/out/ADP/prt/2 "
        "from/from/ADP/prep/2 under/under/ADP/prep/4 the/the/DET/det/7 fence/fence/NOUN/pobj/5",
        ("fox", "fence", "below")),
    "swan in the middle of the picture": (
        "the/the/DET/det/1 swan/swan/NOUN/ROOT/1 in/in/ADP/prep/1 the/the/DET/det/4 "
        "middle/middle/NOUN/pobj/2 of/of/ADP/prep/4 the/the/DET/det/7 picture/picture/NOUN/pobj/5",
        ("swan", "swan", "middle")),
    "llama facing us": (
        "the/the/DET/det/1 llama/llama/NOUN/ROOT/1 facing/face/VERB/acl/1 us/we/PRON/dobj/2",
        ("llama", "llama", "face")),
    "clown in red": (
        "the/the/DET/det/1 clown/clown/NOUN/ROOT/1 in/in/ADP/prep/1 red/red/NOUN/pobj/2",
        ("clown", "clown", "red")),
    "the statue larger than the tree": (
        "the/the/DET/det/1 statue/statue/NOUN/nsubj/2 larger/large/ADJ/ROOT/2 than/than/ADP/prep/2 "
        "the/the/DET/det/5 tree/tree/NOUN/pobj/3",
        ("statue", "tree", "larger")),
    "rope held by the sailor": (
        "the/the/DET/det/1 rope/rope/NOUN/ROOT/1 held/hold/VERB/acl/1 by/by/ADP/agent/2 "
        "the/the/DET/det/5 sailor/sailor/NOUN/pobj/3",
        ("rope", "sailor", "by")),
    "stop sign": (
        "the/the/DET/det/1 stop/stop/NOUN/nsubj/2 sign/sign/VERB/ROOT/2",
        ("sign", "sign", "stop")),
    "runner about to cross the line": (
        "the/the/DET/det/1 runner/runner/NOUN/nsubj/2 about/about/ADP/ROOT/2 to/to/PART/aux/4 "
        "cross/cross/VERB/xcomp/2 the/the/DET/det/6 line/line/NOUN/dobj/4",
        ("runner", "line", "cross")),
    "wearing a crown": (
        "the/the/DET/det/1 wearing/wear/VERB/ROOT/1 a/a/DET/det/3 crown/crown/NOUN/dobj/1",
        ("one", "crown", "wear")),
    "front left tent": (
        "the/the/DET/det/3 front/front/ADJ/amod/3 left/leave/VERB/amod/3 tent/tent/NOUN/ROOT/3",
        ("tent", "tent", "front")),
}  # fmt: skip


def written(text: str) -> list[Token]:
    parts = [word.split("/") for word in text.split()]
    return [Token(word, base, kind, link, int(head)) for word, base, kind, link, head in parts]


@pytest.mark.parametrize("expression", TREES)
def test_the_triad_of_a_tree(expression: str) -> None:
    text, expected = TREES[expression]
    assert triad_of(written(text)) == Triad(*expected)


def test_a_verb_at_the_root_that_is_none() -> None:
    """The tagger takes "left" for the verb: what looks like its object is the target."""
    text = "left/leave/VERB/ROOT/0 shoe/shoe/NOUN/dobj/0"
    assert triad_of(written(text)) == Triad("shoe", "shoe", "left")


def test_a_thing_behind_a_preposition_and_its_verb() -> None:
    text = "pie/pie/NOUN/ROOT/0 with/with/ADP/prep/0 cream/cream/NOUN/nsubj/3 dripping/drip/VERB/pcomp/1"
    assert triad_of(written(text)) == Triad("pie", "cream", "with")


def test_nothing_to_read() -> None:
    for empty in ("", " ?! "):
        with pytest.raises(ValueError, match="has no word: leave it out"):
            parse_english(empty)
    assert triad_of(written("it/it/PRON/ROOT/0")) == Triad(FILLER, FILLER, FILLER)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    english._model.cache_clear()
    parse_english.cache_clear()
    monkeypatch.setattr(english, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'wsss-lib\[english\]'"):
        parse_english("a cup")


@pytest.mark.parametrize("name", english.MODELS)
def test_spacy_is_asked_for_the_tree(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A stand-in: which model is loaded, how often, and what it is asked."""
    loaded, asked = [], []

    def load(model: str, exclude: list[str]) -> Any:
        loaded.append((model, exclude))

        def found(text: str) -> list[SimpleNamespace]:
            asked.append(text)
            return [
                SimpleNamespace(text=t.text, lemma_=t.base, pos_=t.kind, dep_=t.link, head=SimpleNamespace(i=t.head))
                for t in written(TREES["the lady in the long coat"][0])
            ]

        return found

    monkeypatch.setattr(english, "find_spec", lambda wanted: wanted in ("spacy", name) or None)
    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
    english._model.cache_clear()
    parse_english.cache_clear()
    try:
        for expression in ("The lady in the long coat", "lady in the long coat", "a lady"):
            assert parse_english(expression) == Triad("lady", "coat", "in")
    finally:
        english._model.cache_clear()
        parse_english.cache_clear()
    assert loaded == [(name, ["ner"])]
    assert asked == ["the lady in the long coat", "the lady in the long coat", "a lady"]


def test_dtmr_takes_either_parser() -> None:
    assert PARSERS["english"] is parse_english
    assert DTMRConfig().parser == "grammar"
    with pytest.raises(ValueError, match="parser is 'german', expected one of"):
        DTMRConfig(parser="german")  # type: ignore[arg-type]


class TestWithSpacy:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("spacy", reason="needs the extra english")
        if not any(map(english.find_spec, english.MODELS)):
            pytest.skip("needs spaCy's model en_core_web_sm")

    @pytest.mark.parametrize("expression", TREES)
    def test_the_same_from_the_words(self, expression: str) -> None:
        assert parse_english(expression) == Triad(*TREES[expression][1])
        assert len(tree(expression)) == len(written(TREES[expression][0]))

    def test_case_and_punctuation_do_not_matter(self) -> None:
        assert parse_english("The lady, in the LONG coat.") == Triad("lady", "coat", "in")
