"""What prints the book: runs, checks and publishes its chapters.

A distribution of its own that only a clone has. It knows ``wsss_lib``; ``wsss_lib`` knows nothing of it.
"""
