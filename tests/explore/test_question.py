"""A question opens to feedback without a script, and says which option is right."""

import re

import pytest

from wsss_lib.explore import predict

OPTIONS = {"it grows": "The area has a price.", "it shrinks": "The price of <b>area</b> & nothing else acts."}


def test_every_option_has_its_feedback_and_one_is_right():
    html = predict("What does the mask do?", OPTIONS, "it shrinks")._repr_html_()
    verdicts = re.findall(r"<summary[^>]*>([^<]+)</summary>.*?<strong>(Yes|No)\.</strong>", html)
    assert verdicts == [("it grows", "No"), ("it shrinks", "Yes")]
    assert "<script" not in html
    assert "&lt;b&gt;area&lt;/b&gt; &amp; nothing" in html


def test_the_plain_text_does_not_tell_the_answer():
    assert repr(predict("What?", OPTIONS, "it shrinks")) == "Predict: What? (it grows / it shrinks)"


@pytest.mark.parametrize(
    ("options", "answer", "message"),
    [
        (OPTIONS, "neither", "expected one of"),
        ({"a": "b"}, "a", "at least two"),
        ({"a": "b", "c": " "}, "a", "feedback"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(options, answer, message):
    with pytest.raises(ValueError, match=message):
        predict("What?", options, answer)
