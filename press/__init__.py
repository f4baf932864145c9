"""What prints the book: runs, checks and publishes its chapters. Not part of the wheel; knows ``wsss_lib``, never the other way."""
