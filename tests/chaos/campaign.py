"""Disturbances of runs, and what must hold after each.

A chain is one folder that is disturbed in step after step, run after run, until it is left in peace
and publishes: then its model must predict what that of an undisturbed run predicts, bit for bit.
To disturb a step several times costs little, for what is finished is reused.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import drawn, kinds
from tests.chaos.forks import Child, fusion
from tests.chaos.world import STEPS, make_world
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.report.record import RunRecord

ORPHAN_SECONDS = 5.0
LONG = "very " * 45 + "long path"  # nearly as long as SQLite can open
NAME = f"wörld 'of' #1 100%20 & {'long' * 30}"  # odd, but to be taken as it is


@dataclass
class Outcome:
    """One disturbance: what was done, where, and what did not hold (nothing, if all is well)."""

    chain: int
    kind: str
    step: str
    code: int | None = None
    lost: list[str] = field(default_factory=list)


@dataclass
class Campaign:
    """All outcomes so far, and the undisturbed run that they are compared with.

    `until` ends every undisturbed run when that step begins; its model is then the trained one.
    """

    folder: Path
    until: str = ""
    log: Callable[[str], None] = print
    outcomes: list[Outcome] = field(default_factory=list)
    wanted: str = ""  # digest of the predictions
    seconds: dict[str, float] = field(default_factory=dict)  # of each step
    sessions: list[int] = field(default_factory=list)
    world: Path = field(init=False)  # the folder of all runs, which may move

    def __post_init__(self) -> None:
        self.world = self.home

    @property
    def home(self) -> Path:
        """Where each chain begins: always the same, so that the sub-model is inspected once."""
        return self.folder / LONG / NAME

    def prepare(self) -> None:
        """Makes the world, and the run that nothing disturbs."""
        temporary = self.folder / "temporary"
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        made = Child(self.folder, lambda: make_world(self.world))
        assert made.wait() == 0, made.text
        problems = self.finish()
        assert not problems, problems
        self.wanted = self.predictions()

    def start(self, clock: float = 0.0) -> Child:
        """Starts `fusion run` in the world."""
        run = fusion(self.world, "run", "fusion.yaml", clock=clock)
        self.sessions.append(run.process)
        return run

    def finish(self) -> list[str]:
        """A run that nothing disturbs; what is not as it must be."""
        run = self.start()
        started: dict[str, float] = {}
        for line in run.lines:
            name, _, status = line.partition(": ")
            if status == "running":
                started[name] = time.monotonic()
                if name == self.until:
                    run.send(signal.SIGTERM)
            elif name in started:
                self.seconds.setdefault(name, time.monotonic() - started[name])
        code, wanted = run.wait(), 128 + signal.SIGTERM if self.until else 0
        lost = [] if code == wanted else [f"the last run ended with {code}: {run.text[-2000:]}"]
        return [*lost, *self.left(ended=True)]

    def predictions(self) -> str:
        """Digest of what the model predicts of every row."""
        model = self.world / "serving"
        if self.until:
            [model] = self.world.glob("runs/artifacts/Train/model/*/Format-Serving")
        child = Child(self.world, lambda: kinds.print_predictions(model, self.world))
        assert child.wait() == 0, child.text
        return child.text.splitlines()[-1]

    def chain(self, number: int, steps: tuple[str, ...] = STEPS, times: int = 1) -> None:
        """Disturbs each of some steps in one folder, then leaves it in peace and compares."""
        draw = random.Random(number)
        self.reset()
        first = len(self.outcomes)
        for step in steps:
            for turn in range(number * times, (number + 1) * times):
                self.disturb(number, drawn.at_turn(step, turn), step, draw)
        lost = self.finish()
        if not lost and self.predictions() != self.wanted:
            lost.append("the predictions differ from those of an undisturbed run")
        for outcome in self.outcomes[first:]:
            outcome.lost += lost
        self.log(f"chain {number}: the last run{_shown(lost) or ' predicts the same'}")

    def disturb(self, chain: int, kind: kinds.Kind, step: str, draw: random.Random) -> None:
        """Disturbs one run in a step, and checks what it left."""
        outcome = Outcome(chain, kind.name, step)
        self.outcomes.append(outcome)
        with kind.around(self.world, step):
            run = self.start(kind.clock)
            undo: Callable[[], None] | None = None
            for line in run.lines:
                if line == f"{step}: running" and undo is None:
                    time.sleep(draw.uniform(0, self.seconds.get(step, 0.2)) if kind.late else 0)
                    undo = kind.act(run, self.world)
            outcome.code = run.wait()
            if undo:
                undo()
        if undo is None:
            outcome.lost.append(f"the step was not reached: {run.text[-2000:]}")
        outcome.lost += kind.problems(outcome.code, run.text, self.world)
        outcome.lost += self.left(ended=outcome.code >= 0)
        self.world = kind.after(self.world, draw)
        self.log(f"chain {chain}: {outcome.kind} in {step}: {outcome.code}{_shown(outcome.lost)}")

    def reset(self) -> None:
        """Puts the world and its folders in their places, without all that runs have made there."""
        for place in (self.home, *self.home.parent.glob(f"{drawn.MOVED}*")):
            if place != self.world and place.exists():
                shutil.rmtree(place)  # the world was copied
        self.world = self.world.rename(self.home)
        for name in ("runs", "serving"):
            place = self.world / name
            if place.is_symlink():
                moved = place.resolve()
                place.unlink()
                moved.rename(place)
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
        places = (
            Path(tempfile.gettempdir()).glob("fusion-run-*"), self.world.rglob(".*.tmp*"),
            self.world.glob("serving/.registry/publishing"),
        )  # fmt: skip
        for place in places:
            for path in place:
                yield f"left: {path}"

    def table(self) -> str:
        """How often each kind was tried, and how often something was lost."""
        lines = [f"{'kind':40} tried lost"]
        for name in [*sorted({one.kind for one in self.outcomes}), ""]:
            of_kind = [one for one in self.outcomes if name in ("", one.kind)]
            lost = sum(bool(one.lost) for one in of_kind)
            lines.append(f"{name or 'all':40} {len(of_kind):5} {lost:4}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Every outcome, and the steps' seconds undisturbed."""
        return {"seconds": self.seconds, "outcomes": [asdict(one) for one in self.outcomes]}


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
        if fields[0] not in "ZX" and int(fields[3]) in sessions:
            found.append(f"{entry.name} {command}")
    return found
