"""A question to answer before the page does: each option opens to what is right or wrong about it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


class Question:
    """A question with options, made by :func:`predict`; a notebook shows it as HTML that needs no script.

    Attributes:
        text, options, answer: As they were given.
    """

    def __init__(self, text: str, options: Mapping[str, str], answer: str) -> None:
        self.text, self.options, self.answer = text, dict(options), answer

    def _repr_html_(self) -> str:
        items = "".join(
            f'<details style="margin: 0.3em 0; padding-left: 0.6em"><summary style="cursor: pointer">{escape(option)}'
            f'</summary><p style="margin: 0.3em 0 0.3em 1.2em"><strong>{"Yes." if option == self.answer else "No."}'
            f"</strong> {escape(feedback)}</p></details>"
            for option, feedback in self.options.items()
        )
        return (
            '<div class="predict" role="group" style="border-left: 3px solid currentColor; padding: 0.2em 0.8em; '
            f'margin: 0.8em 0"><p style="margin: 0.2em 0"><strong>Predict.</strong> {escape(self.text)}</p>'
            f"{items}</div>"
        )

    def __repr__(self) -> str:
        return f"Predict: {self.text} ({' / '.join(self.options)})"


def predict(text: str, options: Mapping[str, str], answer: str) -> Question:
    """Ask the reader to predict what comes next.

    Args:
        text: The question.
        options: What a reader may answer, and what is right or wrong about it, as sentences. Numbers in them come from
            the run, as everywhere.
        answer: The right option.

    Returns:
        The question, as the last line of a cell. Options open by mouse, touch and keyboard, with no kernel.

    Raises:
        ValueError: Fewer than two options, an option without feedback, or an answer that is none of them.
    """
    if answer not in options:
        raise ValueError(f"answer is {answer!r}, expected one of {', '.join(map(repr, options))}: correct it")
    if len(options) < 2 or not all(feedback.strip() for feedback in options.values()):
        raise ValueError(f"options are {dict(options)}, expected at least two, each with feedback: add what is absent")
    return Question(text, options, answer)
