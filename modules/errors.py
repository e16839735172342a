"""The errors a user can cause. Libraries raise them; only the commands print them and exit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

SHOWN_NAMES = 20
MARK = "fusion-error: "


class UserError(Exception):
    """Something the user can correct; the message says what was expected, found, and to do.

    Beam passes what fails in another process on as the text of its traceback. So each of these
    errors carries itself there, as a line of JSON among its notes, which `user_error` reads back.
    Its arguments must therefore be plain JSON.
    """

    # Beam would raise the error again with the step's name in its message, and fail to do so where
    # an error takes other arguments than one text (`DoFnRunner._reraise_augmented`).
    _tagged_with_step = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        content = {"error": type(self).__name__, "arguments": arguments}
        self.line = f"{MARK}{json.dumps(content, default=str)}"
        self.add_note(self.line)

    def _render_traceback_(self) -> list[str]:
        """What IPython and notebooks show in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Problem:
    """One problem of a specification, shown as `file:line: key: message`.

    Args:
        key: where it is in the specification, dotted: `training.stages.0.epochs`.
        message: what was expected, what was found and what to do.
        place: `file:line`, where the specification was read from a file.
        undefined: the name that nothing defines, where that is the problem.
    """

    key: str
    message: str
    place: str = ""
    undefined: str = ""

    @classmethod
    def from_text(cls, text: str) -> Problem:
        """The problem in a text `key: message`."""
        key, colon, message = text.partition(": ")
        return cls(key, message) if colon else cls("", text)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.key, self.message) if part)


class SpecificationError(UserError):
    """The specification is invalid. Carries every problem found.

    Args:
        problems: one or several, each a Problem, or a text that begins with its key:
            `outputs.x.loss: expected …`.
    """

    def __init__(self, problems: Problem | str | Iterable[Problem | str]) -> None:
        several = [problems] if isinstance(problems, Problem | str) else problems
        self.found = [
            item if isinstance(item, Problem) else Problem.from_text(item) for item in several
        ]
        self.problems = [str(problem) for problem in self.found]
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)

    def _render_traceback_(self) -> list[str]:
        title = f"{type(self).__name__}: the specification is invalid"
        return [title, *(f"  {problem}" for problem in self.problems)]


class RunError(UserError):
    """A run cannot go on: data, a sub-model or a folder is not as the specification says.

    `run` is the run that failed (a `pipeline.runs.Run`), where one had started.
    """

    run: Any = None


class RejectedRowsError(RunError):
    """Too many rows are invalid. Carries those that were rejected, as (row, column, reason).

    TFX removes what a failed step has written, so they travel with the error. They are found when
    Beam has ended, so the error never comes from another process, where it would lose them.
    """

    def __init__(self, message: str, rejected: Iterable[tuple[str, str, str]] = ()) -> None:
        super().__init__(message)
        self.rejected = list(rejected)


CARRIED = {kind.__name__: kind for kind in (SpecificationError, RunError, RejectedRowsError)}


def user_error(failure: BaseException | str) -> UserError | None:
    """The user's error behind an exception, or in the text of a traceback; None without one."""
    if isinstance(failure, str):
        lines = [line.partition(MARK)[2] for line in failure.splitlines() if MARK in line]
        # A class that is not listed is one of a test, or of a user's own code.
        found = [content for content in map(_carried, lines) if content["error"] in CARRIED]
        return CARRIED[found[-1]["error"]](*found[-1]["arguments"]) if found else None
    seen: list[BaseException] = []
    step: BaseException | None = failure
    while step is not None and step not in seen:
        if isinstance(step, UserError):
            return step
        carried = user_error(str(step))
        if carried is not None:
            return carried
        seen.append(step)
        step = step.__cause__ or step.__context__
    return None


def _carried(line: str) -> dict[str, Any]:
    """The JSON at the beginning of a line: Beam may have added to its end."""
    try:
        return dict(json.JSONDecoder().raw_decode(line)[0])
    except ValueError:
        return {"error": ""}  # cut off


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: the nearest known one, else all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if not names:
        return "there are none"
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"known: {', '.join(names[:SHOWN_NAMES])}{more}"


def first_line(error: Exception) -> str:
    """The line of an error's message that names the cause; Keras adds many that do not help."""
    lines = [line for line in re.sub(r"\x1b\[\d+m", "", str(error)).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        return lines[1].strip()
    return lines[0].strip() if lines else type(error).__name__


# What frameworks write around a cause. `TRACE` are lines of a traceback, between which the cause
# is not; `NOISE` is removed inside of lines.
TRACE = re.compile(
    r"Traceback \(most recent|  +File \"|Graph execution error:|Detected at node |in user code:|"
    r"Original stack trace|\s+[~^]+\s*$|The above exception|During handling of|\s+\[\[|"
    r"\d+ root error|\d+ successful operations|\d+ derived errors|\.\.\."
)
NOISE = re.compile(
    r"\x1b\[\d+m|\{\{function_node [^}]*\}\} ?|\[\[[^\]]*\]\]|"
    r"\[Op:[^\]]*\](?: name: ?[^\s\[]*)?|\[while running '[^']*'\]|^\(0\) [A-Z_]+: +|"
    r"Error in user-defined function passed to \S+ transformation with iterator: [\w:]+: "
)
NODE = re.compile(r"\{\{node ([^}]+)\}\}")
KERAS_CALL = re.compile(r"Exception encountered when calling (?:layer )?['\"]?([\w./-]+?)['\"]?"
                        r"(?:\.call\(\))?(?: \(type \w+\))?\.\s*$", re.MULTILINE)  # fmt: skip
NAMED_ERROR = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Interrupt)): ?")
LONGEST_CAUSE = 600


def library_cause(error: BaseException) -> str:
    """The cause of a library's error in one line: `KIND: what is wrong (node, layer or step)`.

    TensorFlow, Keras and Beam put the cause of an error behind a traceback, before one or into the
    text of another error: the last line that is no part of a traceback is it.

        InvalidArgumentError: indices[0,0] = 7 is not in [0, 3) (node functional/words/GatherV2)
    """
    known: set[int] = set()
    step: BaseException | None = error
    kind = type(error).__name__
    while step is not None and id(step) not in known:
        known.add(id(step))
        text = str(step)
        if isinstance(step, KeyError) and len(step.args) == 1 and "[while running" not in text:
            return f"{kind}: no key {text}"
        cause = _paragraph(text)
        if cause:
            named = NAMED_ERROR.match(cause)
            if named and not isinstance(step, TypeError | ValueError):
                kind, cause = named[1], cause[named.end() :] or "no message"
            shown = cause if len(cause) <= LONGEST_CAUSE else f"{cause[: LONGEST_CAUSE - 1]}…"
            return f"{kind}: {shown}{_where(text, cause)}"
        step = step.__cause__ or step.__context__
        kind = type(step).__name__ if step is not None else kind
    return f"{kind}, without a message"


def _paragraph(text: str) -> str:
    """The paragraph of an error's text that says what is wrong; empty where there is none."""
    text = text.split("\nArguments received by ")[0].split("\nCall arguments received by ")[0]
    blocks: list[list[str]] = [[]]
    traced = skipped = False
    for line in text.splitlines():
        if TRACE.match(line):
            traced, skipped = True, line.lstrip().startswith("File ")
            blocks.append([])
        elif skipped and line.startswith("    "):
            skipped = False  # the source of the line before, in a traceback
        elif KERAS_CALL.search(line):
            blocks.append([])
        else:
            skipped = False
            cleaned = NODE.sub(r"\1", NOISE.sub("", line.strip())).strip().strip('"')
            if cleaned:
                blocks[-1].append(cleaned)
            elif not line.strip():
                blocks.append([])
    found = [" ".join(" ".join(block).split()) for block in blocks if block]
    if not found:
        return ""
    roots = [block for block in found if block.startswith("(1) ")]
    if roots:  # several errors at once, of which TensorFlow lists each
        found = found[: found.index(roots[0])]
    return (found[-1] if traced else found[0]) if found else ""


def _where(text: str, cause: str) -> str:
    """The node, layer and step that an error's text names, in brackets."""
    nodes = NODE.findall(text)
    layer = KERAS_CALL.search(text)
    step = re.search(r"\[while running '([^']*)'\]", text)
    places = [
        f"{kind} {name}"
        for kind, name in (
            ("node", nodes[-1] if nodes else ""),
            ("layer", layer[1] if layer else ""),
            ("step", step[1].partition("-ptransform")[0] if step else ""),
        )
        if name and not re.search(rf"\b{re.escape(name)}\b", cause)
    ]
    return f" ({', '.join(places)})" if places else ""
