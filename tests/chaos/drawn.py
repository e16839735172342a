"""Which kinds of disturbances a step is disturbed by, and in which order."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.chaos import disks
from tests.chaos.kinds import (
    ChangedInput,
    Damage,
    FullDisk,
    Gone,
    Kind,
    LittleMemory,
    Moved,
    OtherRows,
    ReadOnly,
    ReadOnlyInputs,
    Signal,
    cut,
    double,
    scramble,
)
from tests.chaos.publishing import AnotherChampion, AnotherRun, LiveServer, RolledBack
from tests.chaos.world import ROWS_FILE, STEPS, TOWER_FILE

MOVED = "moved (world) "  # begins the names of its places
DAY = 24 * 60 * 60


def away(world: Path) -> Path:
    """The world under another name."""
    return world.rename(_new_place(world))


def copied(world: Path) -> Path:
    """A copy of the world; what its metadata still name lies in the first one, and is damaged."""
    copy = _new_place(world)
    shutil.copytree(world, copy, symlinks=True, dirs_exist_ok=True)
    for file in world.glob("runs/artifacts/**/*"):
        if file.is_file():
            scramble(file)
    return copy


def linked(folder: str) -> Callable[[Path], Path]:
    """A folder of the world in another place, and a link to it in its own."""

    def move(world: Path) -> Path:
        place, target = world / folder, world / f"{folder}, moved"
        if not place.is_symlink():
            place.mkdir(exist_ok=True)
            place.rename(target)
            place.symlink_to(target.name)
        return world

    return move


def _new_place(world: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=MOVED, dir=world.parent))


KINDS: tuple[Kind, ...] = (
    Signal(signal.SIGKILL), Signal(signal.SIGKILL, group=True), Signal(signal.SIGTERM),
    Signal(signal.SIGINT), Signal(signal.SIGINT, group=True), Signal(signal.SIGHUP),
    Signal(signal.SIGKILL, clock=-DAY), Signal(signal.SIGTERM, clock=-DAY),
    Gone(), LittleMemory(8), LittleMemory(150),
    Damage("record of the run cut", "runs/*/run.json", cut),
    Damage("record of the sub-model cut", "runs/submodels/*.json", cut),
    Moved("runs moved and linked", linked("runs")),
    Moved("publish folder moved and linked", linked("serving")),
)  # fmt: skip
# Early: all steps run again.
EARLY = (
    Damage("metadata cut", "runs/metadata.sqlite", cut),
    Damage("metadata scrambled", "runs/metadata.sqlite", scramble),
    Damage("metadata gone", "runs/metadata.sqlite", Path.unlink),
    Moved("world moved", away), Moved("world copied, then damaged", copied),
)  # fmt: skip
SHARD = "runs/artifacts/Rows/examples/*/Split-*/data_tfrecord*"
SHARDS = (
    Damage("shard cut", SHARD, cut), Damage("shard scrambled", SHARD, scramble),
    Damage("shard gone", SHARD, Path.unlink), Damage("shard doubled", SHARD, double),
    OtherRows(),
)  # fmt: skip
CHECKPOINT = Damage("checkpoint damaged", "runs/checkpoints/*/state.npz", scramble)
CHAMPIONS = (AnotherChampion(), RolledBack())


def of_step(step: str) -> list[Kind]:
    """What a step can be disturbed by, on this machine."""
    found = list(KINDS)
    place = STEPS.index(step)
    if place < STEPS.index("Statistics"):
        found += EARLY
    if step == "Rows" or place >= STEPS.index("Evaluate"):
        found.append(ChangedInput(ROWS_FILE, cut))
    if step == "Import-tower":
        found.append(ChangedInput(TOWER_FILE, scramble))
    if STEPS.index("Rows") < place <= STEPS.index("Embed"):
        found += SHARDS
    if step == "Train":
        found.append(CHECKPOINT)
    if step in ("ServingCheck", "Publish"):
        found += CHAMPIONS
    if step == "Publish":
        found += [AnotherRun(), LiveServer()]
    if disks.can_mount():
        found += [FullDisk(), ReadOnly(), ReadOnlyInputs()]
    return found


def at_turn(step: str, turn: int) -> Kind:
    """The kind that a step is disturbed by at some turn: each has its own, in a drawn order."""
    kinds = of_step(step)
    random.Random(step).shuffle(kinds)
    return kinds[turn % len(kinds)]
