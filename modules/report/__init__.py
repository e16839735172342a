"""The page that a run leaves: what it did and came to, in one file that needs no other."""
