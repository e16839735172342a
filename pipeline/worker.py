"""The process behind `pipeline.calls`: reads a request from its standard input, and does it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tfx_fusion.modules.errors import RunError, SpecificationError, UserError
from tfx_fusion.pipeline import ending
from tfx_fusion.pipeline.calls import EVENT, Request
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.failure import machine_problem
from tfx_fusion.pipeline.prepare import Workplace
from tfx_fusion.pipeline.steps import Step


class Events:
    """Writes events where the standard output leads when this is made, wherever it leads later."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w")

    def send(self, **event: Any) -> None:
        sys.stdout.flush()  # events come behind the lines before them
        self._stream.write(f"{EVENT}{json.dumps(event)}\n")
        self._stream.flush()


class SentSteps:
    """Sends how the steps of a run change, in place of a table that shows it."""

    def __init__(self, events: Events, folder: Path, steps: Mapping[str, Step]) -> None:
        self._events, self._folder, self._steps = events, folder, steps

    def __enter__(self) -> SentSteps:
        records = [step.model_dump(mode="json") for step in self._steps.values()]
        self._events.send(steps={"folder": str(self._folder), "steps": records})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.send(shown=None)

    def changed(self, step: Step) -> None:
        self._events.send(step={"record": step.model_dump(mode="json"), "note": step.note})


def main() -> None:
    """Does what the request says; the last event holds the result, or the error."""
    request = Request.model_validate_json(sys.stdin.read())
    ending.install()
    events = Events()
    try:
        ended = _check(request) if request.action == "check" else _run(request, events)
    except BaseException as error:
        if ending.received():
            message = error.message if isinstance(error, ending.Interrupted) else ""
            ended = {"interrupted": message}
        elif isinstance(error, SpecificationError):
            ended = {"problems": [dataclasses.asdict(problem) for problem in error.found]}
        else:
            problem = str(error) if isinstance(error, UserError) else machine_problem(error)
            if problem is None:
                raise
            ended = {"error": problem}
            if isinstance(error, RunError) and error.run:
                ended["folder"] = str(error.run.folder)
    events.send(ended=ended)


def _check(request: Request) -> dict[str, Any]:
    from tfx_fusion.pipeline.check import check

    place = Workplace(request.folder)
    checked = check(request.source, _print, place, picture=True)
    return {"checked": checked.model_dump(mode="json")}


def _run(request: Request, events: Events) -> dict[str, Any]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from tfx_fusion.pipeline.run import OngoingRun, run

    def show(current: OngoingRun, steps: Mapping[str, Step]) -> SentSteps:
        return SentSteps(events, current.folder, steps)

    done = run(request.source, wide_console(), Workplace(request.folder), show)
    return {"folder": str(done.folder)}


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
