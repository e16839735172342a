"""Why a run failed, in one paragraph."""

from __future__ import annotations

import re

from tfx_fusion.modules.errors import user_error


def cause_of(error: BaseException) -> str:
    """The message of the user's error behind an exception, else its type and first paragraph."""
    found = user_error(error)
    if found is not None:
        return str(found)
    lines = str(error).strip().splitlines()
    if lines and lines[0] == "in user code:":  # AutoGraph puts the cause last
        return f"{type(error).__name__}: {lines[-1].strip()}"
    paragraph = re.split(r"\n\s*\n|\nTraceback|\nDetected at", str(error).strip())[0]
    return f"{type(error).__name__}: {' '.join(paragraph.split())[:600]}"
