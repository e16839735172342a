"""Why a run failed, in one paragraph."""

from __future__ import annotations

import re

from tfx_fusion.modules.errors import UserError

# Beam raises a worker's exception anew as a RuntimeError whose text holds the original one.
WRAPPED = re.compile(
    r"modules\.errors\.\w+: (.+?)(?: \[while running '[^']*'\]|\n\n|\Z)", re.DOTALL
)


def cause_of(error: BaseException) -> str:
    """The message of the user's error behind an exception, else its type and first paragraph."""
    step: BaseException | None = error
    seen: set[int] = set()
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        if isinstance(step, UserError):
            # Beam may keep an exception's type and add the step to its message.
            return re.sub(r" \[while running '[^']*'\]$", "", str(step))
        wrapped = WRAPPED.search(str(step))
        if wrapped:
            return " ".join(wrapped[1].split())
        step = step.__cause__ or step.__context__
    lines = str(error).strip().splitlines()
    if lines and lines[0] == "in user code:":  # AutoGraph puts the cause last
        return f"{type(error).__name__}: {lines[-1].strip()}"
    paragraph = re.split(r"\n\s*\n|\nTraceback|\nDetected at", str(error).strip())[0]
    return f"{type(error).__name__}: {' '.join(paragraph.split())[:600]}"
