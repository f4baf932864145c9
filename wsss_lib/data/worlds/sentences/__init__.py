"""Sentences: scenes of several critters, and what can be said to single one out. Every difficulty is a dial."""

from wsss_lib.data.worlds.sentences.dataset import COUNTS, DRAWN, WORDS, Sentences
from wsss_lib.data.worlds.sentences.grammar import ATTRIBUTES, KINDS, PHRASES, RELATIONS, Statement, said, statements
from wsss_lib.data.worlds.sentences.world import GRAMMAR_VERSION, World

__all__ = [
    "ATTRIBUTES",
    "COUNTS",
    "DRAWN",
    "GRAMMAR_VERSION",
    "KINDS",
    "PHRASES",
    "RELATIONS",
    "WORDS",
    "Sentences",
    "Statement",
    "World",
    "said",
    "statements",
]
