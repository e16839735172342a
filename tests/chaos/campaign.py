"""Disturbances of runs, and what must hold after each.

A chain is one folder that is disturbed in step after step, run after run, until it is left in peace
and publishes: then its model must predict what that of an undisturbed run predicts, bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos import kinds
from tests.chaos.forks import Child, fusion
from tests.chaos.world import STEPS, make_world
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.report.record import RunRecord

ORPHAN_SECONDS = 5.0


@dataclass
class Outcome:
    """One disturbance: what was done, where, and what did not hold (nothing, if all is well)."""

    chain: int
    kind: str
    step: str
    code: int | None
    lost: list[str] = field(default_factory=list)


@dataclass
class Campaign:
    """All outcomes so far, and the undisturbed run that they are compared with."""

    folder: Path
    outcomes: list[Outcome] = field(default_factory=list)
    wanted: str = ""  # digest of the predictions
    seconds: dict[str, float] = field(default_factory=dict)  # of each step
    sessions: list[int] = field(default_factory=list)
    log: Callable[[str], None] = print

    @property
    def world(self) -> Path:
        """The folder of all runs: always the same, so that sub-models are inspected once."""
        return self.folder / "world"

    def prepare(self) -> None:
        """Makes the world, and the run that nothing disturbs."""
        made = Child(self.folder, lambda: make_world(self.world)).wait()
        assert made == 0
        run = self.start()
        started: dict[str, float] = {}
        for line in run.lines:
            name, _, status = line.partition(": ")
            if status == "running":
                started[name] = time.monotonic()
            elif name in started:
                self.seconds[name] = time.monotonic() - started[name]
        assert run.wait() == 0, run.text
        self.wanted = self.predictions()
        shutil.copytree(self.world / "serving", self.folder / "undisturbed")

    def start(self) -> Child:
        """Starts `fusion run` in the world."""
        run = fusion(self.world, "run", "fusion.yaml")
        self.sessions.append(run.process)
        return run

    def predictions(self) -> str:
        """Digest of what the served model predicts of every row."""
        child = Child(self.world, lambda: kinds.print_predictions(self.world / "serving"))
        assert child.wait() == 0, child.text
        return child.text.splitlines()[-1]

    def chain(self, number: int, draw: random.Random, steps: tuple[str, ...] = STEPS) -> None:
        """Disturbs each of some steps in one folder, then leaves it in peace and compares."""
        self.reset()
        first = len(self.outcomes)
        for step in steps:
            kind = draw.choice(kinds.of_step(step))
            self.disturb(number, kind, step, draw)
        run = self.start()
        code = run.wait()
        lost = [] if code == 0 else [f"the last run ended with {code}: {run.text[-2000:]}"]
        if code == 0 and self.predictions() != self.wanted:
            lost.append("the predictions differ from those of an undisturbed run")
        lost += self.left(ended=True)
        self.log(f"chain {number}: the last run ended with {code}{_shown(lost)}")
        for outcome in self.outcomes[first:]:
            outcome.lost += lost

    def disturb(self, chain: int, kind: kinds.Kind, step: str, draw: random.Random) -> Outcome:
        """Disturbs one run in a step, and checks what it left."""
        outcome = Outcome(chain, kind.name, step, None)
        self.outcomes.append(outcome)
        with kind.around(self.world, step):
            run = self.start()
            delay = draw.uniform(0, self.seconds.get(step, 0.2))
            undo: Callable[[], None] | None = None
            for line in run.lines:
                if line == f"{step}: running" and undo is None:
                    time.sleep(delay if kind.late else 0)
                    undo = kind.act(run, self.world)
            outcome.code = run.wait()
            if undo:
                undo()
        if undo is None:
            outcome.lost.append(f"the step was not reached: {run.text[-2000:]}")
        outcome.lost += kind.problems(outcome.code, run.text, self.world)
        outcome.lost += self.left(ended=outcome.code is not None and outcome.code >= 0)
        kind.after(self.world, draw)
        self.log(f"chain {chain}: {outcome.kind} in {step}: {outcome.code}{_shown(outcome.lost)}")
        return outcome

    def reset(self) -> None:
        """Takes away all but the inputs and what is known of the sub-model."""
        shutil.rmtree(self.world / "serving", ignore_errors=True)
        for entry in (self.world / "runs").iterdir():
            if entry.name != "submodels":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def left(self, ended: bool) -> Iterator[str]:
        """What a run must not leave; a killed one leaves files for the next run to remove."""
        end = time.monotonic() + ORPHAN_SECONDS
        while (orphans := _alive(self.sessions)) and time.monotonic() < end:
            time.sleep(0.05)
        for process in orphans:
            yield f"orphan: {process}"
        for record in self.world.glob("runs/*/run.json"):
            with suppress(RunError):  # damaged, which the error says
                if RunRecord.read(record.parent).status == "running":
                    yield f"{record} says running"
        if not ended:
            return
        places = [Path(tempfile.gettempdir()).glob("fusion-run-*"), self.world.rglob(".*.tmp*"),
                  self.world.glob("serving/.registry/publishing")]  # fmt: skip
        for place in places:
            for path in place:
                yield f"left: {path}"

    def table(self) -> str:
        """How often each kind was tried, and how often something was lost."""
        lines = [f"{'kind':34} tried lost"]
        for name in sorted({one.kind for one in self.outcomes}):
            of_kind = [one for one in self.outcomes if one.kind == name]
            lost = sum(bool(one.lost) for one in of_kind)
            lines.append(f"{name:34} {len(of_kind):5} {lost:4}")
        lost = sum(bool(one.lost) for one in self.outcomes)
        return "\n".join([*lines, f"{'all':34} {len(self.outcomes):5} {lost:4}"])

    def as_json(self) -> str:
        """Every outcome, and the steps' seconds undisturbed."""
        return json.dumps(
            {"seconds": self.seconds, "outcomes": [asdict(one) for one in self.outcomes]}, indent=1
        )


def _shown(lost: list[str]) -> str:
    return "".join(f"\n  LOST: {loss}" for loss in lost)


def _alive(sessions: list[int]) -> list[str]:
    """The processes that live on in the sessions of commands that have ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if fields[0] not in "ZX" and int(fields[3]) in sessions and int(entry.name) != os.getpid():
            found.append(f"{entry.name} {command}")
    return found
