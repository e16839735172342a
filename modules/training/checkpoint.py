"""Resuming training after it was killed, from the state at the end of the last whole epoch."""

import json
import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.errors import first_line
from tfx_fusion.modules.files import set_aside, whole_file
from tfx_fusion.modules.spec import Direction

STATE_FILE = "state.npz"
# What NumPy, its zip file and the JSON in it raise where bytes are missing or changed.
DAMAGED = (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error)


@dataclass
class State:
    """The state of training: `epoch` epochs of stage `stage` are done.

    `stages` holds the records of earlier stages, `epochs` that of this one. `variables` and
    `optimizer` are values in their owners' order, without frozen variables. `stopping` is the
    state of early stopping: `wait`, `best`, `best_epoch`; its best weights are `best_weights`.
    `unusable` are the rows that training has left out.
    """

    stage: int
    epoch: int
    stages: list[dict[str, Any]]
    epochs: list[dict[str, float]]
    variables: list[np.ndarray]
    optimizer: list[np.ndarray] = field(default_factory=list)
    stopping: dict[str, Any] = field(default_factory=dict)
    best_weights: list[np.ndarray] = field(default_factory=list)
    unusable: list[Sequence[Any]] = field(default_factory=list)


class Checkpoint:
    """A folder that holds one State, replaced as a whole after each epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: State) -> None:
        """Writes a state aside and renames it, so that a kill leaves the previous one."""
        arrays: dict[str, Any] = {
            f"{kind}/{position}": storable(value)
            for kind in ("variables", "optimizer", "best_weights")
            for position, value in enumerate(getattr(state, kind))
        }
        plain = {
            name: getattr(state, name)
            for name in ("stage", "epoch", "stages", "epochs", "stopping", "unusable")
        }
        with whole_file(self._folder / STATE_FILE) as aside:
            np.savez(aside, plain=np.array(json.dumps(plain)), **arrays)

    def load(self) -> State | None:
        """The last state; None where training has not begun, or its state is damaged.

        A damaged file is set aside: training then begins again, with the same result.
        """
        file = self._folder / STATE_FILE
        if not file.is_file():
            return None
        try:
            return self._read(file)
        except DAMAGED as error:
            set_aside(file, first_line(error), "training starts from its first epoch")
            return None

    def _read(self, file: Path) -> State:
        with np.load(file, allow_pickle=False) as stored:
            plain = json.loads(str(stored["plain"]))
            lists: dict[str, Any] = {}
            for kind in ("variables", "optimizer", "best_weights"):
                names = [name for name in stored.files if name.startswith(f"{kind}/")]
                lists[kind] = [stored[f"{kind}/{position}"] for position in range(len(names))]
        return State(**plain, **lists)

    def remove(self) -> None:
        """Deletes the state, when training has ended."""
        shutil.rmtree(self._folder, ignore_errors=True)


def values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Copies of the variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def storable(value: np.ndarray) -> np.ndarray:
    """A value as NumPy's files can hold it: they do not know bfloat16, float32 has all of it."""
    return value.astype("float32") if value.dtype.name == "bfloat16" else value


def assign(variables: Sequence[keras.Variable], stored: Sequence[np.ndarray]) -> None:
    """Sets each variable to its stored value."""
    for variable, value in zip(variables, stored, strict=True):
        variable.assign(value)


class ResumableEarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's early stopping that can resume from a saved state."""

    def __init__(self, monitor: str, patience: int, direction: Direction) -> None:
        # Keras does not know the direction of what it logs by an output's name.
        super().__init__(
            monitor=monitor, patience=patience, mode=direction, restore_best_weights=True
        )
        self._resumed: Mapping[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What a resumed stage needs, without the best weights."""
        best = None if self.best is None else float(self.best)
        return {"wait": self.wait, "best": best, "best_epoch": self.best_epoch}

    def resume(self, state: Mapping[str, Any], best_weights: list[np.ndarray]) -> None:
        """Sets the state to begin with when training begins."""
        self._resumed = {**state, "best_weights": best_weights or None}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_begin(logs)
        for name, value in self._resumed.items():
            setattr(self, name, value)
