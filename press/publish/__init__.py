"""The executed book as a site, on paper, and in one archive."""
