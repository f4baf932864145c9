"""Executing chapters: for the book, for the author, against what they store, and away from the clone."""
