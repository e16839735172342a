"""Names of folders that some program may misread."""

from __future__ import annotations

# Spaces, what URLs, shells, YAML and f-strings read, both kinds of quotes, an accent as a mark of
# its own, and letters of other scripts.
ODD = "a b #1%20 'q\" u\u0308 ~{x}$HOME;& 日本 (1)"
# What a library would read as a pattern, or no library reads.
REFUSED = ("st*r", "who?", "[2024]", "back\\slash", "new\nline")
