"""The whole of training, from examples and sub-models to the exported model and its record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import keras

from modules.files import write_text
from modules.freezing.proof import combined
from modules.fusion.build import build
from modules.fusion.picture import draw_graph
from modules.preprocessing.graph import TransformGraph
from modules.spec import Specification
from modules.submodels.copy import copied_submodel
from modules.submodels.interface import Interface
from modules.submodels.layer import SubmodelLayer
from modules.trainer.checkpoint import Checkpoint
from modules.trainer.curves import draw_curves
from modules.trainer.data import evaluation_rows, training_rows
from modules.trainer.export import export
from modules.trainer.record import CURVES_FILE, GRAPH_FILE, HISTORY_FILE, RECORD_FILE, record_text
from modules.trainer.tensorboard_logs import write_logs
from modules.trainer.train import TrainingHistory, seed_everything, train
from modules.trainer.warm_start import Champion

TENSORBOARD_FOLDER = "tensorboard"


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Layers made inside compute in a precision; Keras is left as it was found."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def fuse_and_train(
    specification: Specification,
    interfaces: Mapping[str, Interface],
    submodels: Mapping[str, Path],
    submodel_digests: Mapping[str, str],
    transform_path: str,
    splits: Mapping[str, str],
    model_path: Path,
    record_path: Path,
    checkpoint: Checkpoint,
    champion: Path | None = None,
) -> TrainingHistory:
    """Fuses the imported sub-models, trains the head, exports the whole, keeps the record.

    Args:
        specification: what to fuse and how to train it.
        interfaces: of each sub-model, as the importer recorded it.
        submodels: the folder of each imported copy.
        submodel_digests: the digest of each, as the importer recorded it.
        transform_path: the Transform graph's `transform_fn` folder.
        splits: the folder of tf.Examples of `train` and `eval`.
        model_path: where the SavedModel goes.
        record_path: the folder of the training record.
        checkpoint: where training that was killed left its state, and keeps it.
        champion: the version folder that a warm start begins with; None where there is none.
    """
    warm = specification.training.warm_start is not None
    start = Champion.read(champion, submodel_digests) if warm else None
    keras.backend.clear_session()
    seed_everything(specification.training.seed)

    def open_submodel(name: str, interface: Interface, taps: list[str]) -> SubmodelLayer:
        submodel = specification.submodels[name]
        path = copied_submodel(submodels[name])
        return SubmodelLayer(path, taps, submodel.signature, name, submodel.custom_objects)

    transform = TransformGraph(transform_path, specification.features, specification.labels)
    with _precision(specification.training.precision):
        fused = build(specification, interfaces, open_submodel)
    history = train(
        specification,
        interfaces,
        fused,
        training_rows(specification, transform, splits["train"]),
        evaluation_rows(specification, transform, splits["eval"]),
        checkpoint,
        start,
    )
    exported = export(specification, fused, transform, history.frozen, submodel_digests, model_path)
    for name, part in history.proof.items():
        part.exported = combined(exported[name].values())
    write_text(record_path / HISTORY_FILE, json.dumps(asdict(history), indent=1))
    draw_curves(history.stages, record_path / CURVES_FILE)
    draw_graph(specification, interfaces, fused, record_path / GRAPH_FILE)
    write_logs(history.stages, record_path / TENSORBOARD_FOLDER)
    write_text(record_path / RECORD_FILE, record_text(specification, history))
    checkpoint.remove()
    return history


def last_epoch(record_path: Path) -> dict[str, float]:
    """The losses and metrics of the last epoch in a training record."""
    history = json.loads((record_path / HISTORY_FILE).read_text())
    return history["stages"][-1]["epochs"][-1]
