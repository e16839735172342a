"""The kinds of disturbances: what each does to a run, and what must come of it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tests.chaos import disks
from tests.chaos.forks import Child, fusion
from tests.chaos.world import STEPS
from tfx_fusion.modules.registry.publish import current_champion, publish
from tfx_fusion.modules.registry.version_record import DataSource, Provenance


def nothing() -> None:
    """Undoes nothing."""


class Kind:
    """A disturbance. It comes somewhere in the step's time, or at once where it is not `late`."""

    name = ""
    late = True
    clock = 0.0  # seconds that the run's clock is set forward

    def around(self, world: Path, step: str) -> AbstractContextManager[None]:
        """What holds while the run goes on."""
        return nullcontext()

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        """Disturbs the run; returns what undoes it once the run has ended."""
        return nothing

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        """What is not as it must be, once the run has ended."""
        if "Traceback" in text:
            yield f"a traceback: {text[-2000:]}"

    def after(self, world: Path, draw: random.Random) -> None:
        """What else is done before the next run."""


class Signal(Kind):
    """A signal to the process of the run, or to its whole group as a terminal sends it."""

    def __init__(self, number: signal.Signals, group: bool = False, clock: float = 0.0) -> None:
        how = f"{' to the group' if group else ''}{', clock set back' if clock else ''}"
        self.name, self.clock = f"{number.name}{how}", clock
        self._number, self._group = number, group

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        run.send(self._number, self._group)
        return nothing

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        killed = self._number == signal.SIGKILL
        if code == 0:
            return  # it came when all was done
        wanted = -self._number if killed else 128 + self._number
        if code != wanted:
            yield f"ended with {code}, not {wanted}: {text[-2000:]}"
        if not killed and text.count(f"interrupted by {self._number.name}") != 1:
            yield f"the message is not there once: {text[-2000:]}"
        status = newest_record(world)["status"]
        if status != ("running" if killed else "interrupted") and "published" not in status:
            yield f"the record says {status}"


class Damage(Signal):
    """A kill, and damage to a file before the next run."""

    def __init__(self, name: str, pattern: str, damage: Callable[[Path], None]) -> None:
        super().__init__(signal.SIGKILL)
        self.name, self._pattern, self._damage = name, pattern, damage

    def after(self, world: Path, draw: random.Random) -> None:
        found = sorted(path for path in world.glob(self._pattern) if path.is_file())
        if found:
            self._damage(draw.choice(found))


class Gone(Signal):
    """A kill, and all artifacts of a step deleted before the next run."""

    def __init__(self) -> None:
        super().__init__(signal.SIGKILL)
        self.name = "artifacts of a step gone"

    def after(self, world: Path, draw: random.Random) -> None:
        shutil.rmtree(draw.choice(sorted(world.glob("runs/artifacts/*"))))


class FullDisk(Kind):
    """The disk of the world fills up in the step."""

    name = "full disk"
    late = False

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        disks.fill(world)
        return lambda: disks.empty(world)

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        disks.empty(world)
        if code == 0:
            return  # there was room enough in what was open already
        if code != 1 or "no space is left on the disk" not in text:
            yield f"ended with {code}: {text[-2000:]}"
        if newest_record(world)["status"] != "failed":
            yield f"the record says {newest_record(world)['status']}"


class ChangedInput(Kind):
    """An input is changed when a step begins, and put back when the run has ended."""

    late = False

    def __init__(self, name: str, change: Callable[[Path], None]) -> None:
        self.name, self._file, self._change = f"{name} changed, then put back", name, change

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        file = world / self._file
        content, state = file.read_bytes(), file.stat()
        self._change(file)

        def undo() -> None:
            file.write_bytes(content)
            os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))

        return undo

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        if code != 0 and (code != 1 or self._file not in text):
            yield f"ended with {code}: {text[-2000:]}"


class AnotherRun(Kind):
    """A second run is started in the same folder."""

    name = "another run at once"

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        self._second = fusion(world, "run", "fusion.yaml")
        self._code = self._second.wait()
        return nothing

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        if code != 0:
            yield f"ended with {code}: {text[-2000:]}"
        if self._code != 0 and "another run is going on" not in self._second.text:
            yield f"the second ended with {self._code}: {self._second.text[-2000:]}"


class AnotherChampion(Kind):
    """Another model is published to the same folder, or it is rolled back, during the run."""

    name = "another champion published"

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        model = Path(tempfile.mkdtemp(dir=world.parent))
        [trained] = world.glob("runs/artifacts/Train/model/*/Format-Serving")
        shutil.copytree(trained, model, dirs_exist_ok=True)
        (model / "fingerprint.pb").write_bytes(os.urandom(8))  # of another model
        serving = world / "serving"
        provenance = Provenance(
            run="another", specification={"evaluation": {}}, submodels={},
            data=DataSource(path="", fingerprint=""),
        )  # fmt: skip
        publish(model, serving, provenance, {}, current_champion(serving), None)
        shutil.rmtree(model)
        return nothing

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        if code != 0 and (code != 1 or "the champion changed during the run" not in text):
            yield f"ended with {code}: {text[-2000:]}"


class ReadOnly(Kind):
    """The disk of the step's artifacts cannot be written."""

    name = "read-only disk"

    @contextmanager
    def around(self, world: Path, step: str) -> Iterator[None]:
        with disks.mounted(world / "runs" / "artifacts" / step, "ro"):
            yield

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        if code != 1 or "cannot be written" not in text or "Read-only file system" not in text:
            yield f"ended with {code}: {text[-2000:]}"


def cut(file: Path) -> None:
    """Leaves the first half of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def scramble(file: Path) -> None:
    """Changes bytes in the middle of a file."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    file.write_bytes(content)


def double(file: Path) -> None:
    """Puts a copy of a shard beside it, under the name of a further one."""
    shutil.copy(file, file.with_name(f"{file.name}-00001-of-00002"))


DAY = 24 * 60 * 60
KINDS: tuple[Kind, ...] = (
    Signal(signal.SIGKILL), Signal(signal.SIGKILL, group=True), Signal(signal.SIGTERM),
    Signal(signal.SIGINT), Signal(signal.SIGINT, group=True), Signal(signal.SIGHUP),
    Signal(signal.SIGKILL, clock=-DAY), Signal(signal.SIGTERM, clock=-DAY),
    Gone(),
    Damage("record of the run cut", "runs/*/run.json", cut),
    Damage("record of the sub-model cut", "runs/submodels/*.json", cut),
)  # fmt: skip
# Early: all steps run again.
METADATA = (
    Damage("metadata cut", "runs/metadata.sqlite", cut),
    Damage("metadata scrambled", "runs/metadata.sqlite", scramble),
    Damage("metadata gone", "runs/metadata.sqlite", Path.unlink),
)
SHARD = "runs/artifacts/Rows/examples/*/Split-*/data_tfrecord*"
SHARDS = (
    Damage("shard cut", SHARD, cut), Damage("shard scrambled", SHARD, scramble),
    Damage("shard gone", SHARD, Path.unlink), Damage("shard doubled", SHARD, double),
)  # fmt: skip
INPUTS = {
    "Rows": ChangedInput("rows.csv", lambda file: cut(file)),
    "Import-tower": ChangedInput("tower.keras", lambda file: scramble(file)),
}
CHECKPOINT = Damage("checkpoint damaged", "runs/checkpoints/*/state.npz", scramble)


def of_step(step: str) -> list[Kind]:
    """What a step can be disturbed by, on this machine."""
    found = list(KINDS)
    if step == "Train":
        found += [CHECKPOINT, CHECKPOINT]
    place = STEPS.index(step)
    if place < STEPS.index("Statistics"):
        found += METADATA
    if STEPS.index("Rows") < place <= STEPS.index("Embed"):
        found += SHARDS
    if step in INPUTS:
        found += [INPUTS[step]] * 2
    if step in ("ServingCheck", "Publish"):
        found += [AnotherChampion(), AnotherChampion()]
    if step == "Publish":
        found += [AnotherRun(), AnotherRun()]
    if disks.can_mount():
        found += [FullDisk(), ReadOnly()]
    return found


def newest_record(world: Path) -> dict[str, object]:
    """The newest `run.json`, as it lies there."""
    file = max(world.glob("runs/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(file.read_text()))


def print_predictions(folder: Path, world: Path) -> None:
    """Prints the digest of what a version, or the newest in a folder, predicts of every row."""
    from tfx_fusion.modules.data import data_file
    from tfx_fusion.modules.registry.versions import find_version
    from tfx_fusion.modules.serving.published import PublishedModel

    file = world / "rows.csv"
    rows = [row for shard in data_file.shards(file) for row in data_file.read(shard)]
    model = PublishedModel(find_version(folder))
    answers = [(one.row_id, one.outputs) for one in model.predict(rows, file.parent)]
    print(hashlib.sha256(repr(answers).encode()).hexdigest(), flush=True)
