"""The training record: what training did, as typed facts in one JSON file."""

from pathlib import Path

from tfx_fusion.modules.embedding.plan import LearnsFrom
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec.base import Part
from tfx_fusion.modules.training.frozen_proof import Digests, FrozenPart

HISTORY_FILE = "history.json"


class StageRecord(Part):
    """A finished stage.

    `unfrozen` has the unfrozen layers of each sub-model, `epochs` the losses and metrics of each
    epoch, those of the evaluation split as `val_…`. `kept` is the place among them of the epoch
    whose weights the stage ended with: the last, or the best where it stops early.

    Losses and metrics are those of all rows, not means over batches; of several outputs `loss` is
    the sum of theirs, weighted as the specification says, with what regularizers add. Of the rows
    to train on they are measured while the weights move, losses weighted by class (the sum of
    weight x loss, divided by the number of rows, as Keras does), metrics not. Of the rows to
    evaluate on nothing is weighted by class.
    """

    name: str
    seconds: float
    unfrozen: dict[str, list[str]]
    learns_from: LearnsFrom
    epochs: list[dict[str, float]]
    kept: int = -1

    @property
    def kept_epoch(self) -> dict[str, float]:
        """The losses and metrics of the weights that the stage ended with."""
        return self.epochs[self.kept]


class WarmStart(Part):
    """What training began with: the champion's values, and by variable why one was not taken.

    Where there was no champion to start from, `scratch` is the reason.
    """

    champion: str
    scratch: str = ""
    taken: list[str] = []
    anew: dict[str, str] = {}

    def __str__(self) -> str:
        if self.scratch:
            return f"from scratch: {self.scratch}"
        count = f"{len(self.taken)} of {len(self.taken) + len(self.anew)}"
        return f"{count} variables from champion {Path(self.champion).name}"


class TrainingRecord(Part):
    """What training did.

    `frozen` has the digest of every tensor that no stage unfroze, `proof` one digest of them all
    by sub-model, before and after training and once exported. `warm_start` is None where it was
    not asked for. `rejected` counts the rows of each split that were left out, which are listed
    with their reasons in a file of their own: no embedding, prediction or loss of theirs is finite.
    """

    stages: tuple[StageRecord, ...]
    frozen: Digests
    proof: dict[str, FrozenPart]
    warm_start: WarmStart | None = None
    rejected: dict[str, int] = {}

    @property
    def kept_epoch(self) -> dict[str, float]:
        """The losses and metrics of the weights that training ended with."""
        return self.stages[-1].kept_epoch


def write_record(record: TrainingRecord, folder: Path) -> None:
    """Writes it into a folder, for `read_record`."""
    write_text(folder / HISTORY_FILE, record.model_dump_json(indent=1) + "\n")


def read_record(folder: Path) -> TrainingRecord:
    """What `write_record` wrote."""
    return TrainingRecord.model_validate_json((folder / HISTORY_FILE).read_text())
