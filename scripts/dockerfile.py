"""Reads a Dockerfile and a .dockerignore, as far as this project uses their languages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

INSTRUCTIONS = ("FROM", "LABEL", "RUN", "COPY", "WORKDIR", "ENV", "USER", "CMD")


class DockerfileError(Exception):
    """The file says what is not understood here; the message quotes it."""


@dataclass(frozen=True)
class Step:
    """One instruction with what follows it, on one line."""

    instruction: str
    text: str


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str | None
    steps: list[Step] = field(default_factory=list)


def read_stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, in their order."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*#", line)]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        instruction, _, rest = line.strip().partition(" ")
        if instruction not in INSTRUCTIONS:
            raise DockerfileError(f"expected one of {', '.join(INSTRUCTIONS)}, found '{line}'")
        if instruction == "FROM":
            base, *alias = rest.split()
            stages.append(Stage(base, alias[1] if alias else None))
        elif not stages:
            raise DockerfileError(f"expected FROM first, found '{line}'")
        else:
            stages[-1].steps.append(Step(instruction, rest.strip()))
    return stages


def variables(text: str) -> dict[str, str]:
    """What an ENV instruction sets."""
    return dict(word.split("=", 1) for word in shlex.split(text))


def copied(text: str) -> tuple[str | None, list[str], str]:
    """The stage that a COPY takes from (None: from the build context), its sources, its target."""
    words = text.split()
    stage = None
    if words[0].startswith("--"):
        option, _, stage = words.pop(0).partition("=")
        if option != "--from":
            raise DockerfileError(f"expected no option but --from, found 'COPY {text}'")
    return stage, words[:-1], words[-1]


def is_sent(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path of the project is sent to the builder: the last pattern that fits decides."""
    parts = path.split("/")
    prefixes = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    sent = True
    for pattern in patterns:
        expression = re.escape(pattern.removeprefix("!"))
        expression = expression.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(expression, prefix) for prefix in prefixes):
            sent = pattern.startswith("!")
    return sent


def read_ignored(text: str) -> list[str]:
    """The patterns of a .dockerignore."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
