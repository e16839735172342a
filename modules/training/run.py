"""The whole of training, from examples and sub-models to the exported model and its record."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from tfx_fusion.modules.data.rejected import write_rejected
from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.graph.build import build
from tfx_fusion.modules.graph.picture import draw_graph
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import opener
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.curves import draw_curves
from tfx_fusion.modules.training.data import RawRows
from tfx_fusion.modules.training.export import export
from tfx_fusion.modules.training.frozen_proof import combined
from tfx_fusion.modules.training.record import TrainingRecord, write_record
from tfx_fusion.modules.training.record_text import (
    CURVES_FILE,
    GRAPH_FILE,
    RECORD_FILE,
    record_text,
)
from tfx_fusion.modules.training.stage_data import EmbeddedStore, StageDataSource
from tfx_fusion.modules.training.tensorboard_logs import write_logs
from tfx_fusion.modules.training.train import seed_everything, train
from tfx_fusion.modules.training.warm_start import Champion

TENSORBOARD_FOLDER = "tensorboard"


def fuse_and_train(
    specification: Specification,
    interfaces: Mapping[str, Interface],
    submodels: Mapping[str, Path],
    submodel_digests: Mapping[str, str],
    transform_path: str,
    splits: Mapping[str, str],
    stages: Sequence[StagePlan],
    embeddings: Sequence[str],
    model_path: Path,
    record_path: Path,
    checkpoint: Checkpoint,
    start: Champion | None = None,
    rejected_before: int = 0,
) -> TrainingRecord:
    """Fuses the imported sub-models, trains the head, exports the whole, writes the record.

    Args:
        specification: what to fuse and how to train it.
        interfaces: of each sub-model, as the importer recorded it.
        submodels: the folder of each imported copy.
        submodel_digests: the digest of each, as the importer recorded it.
        transform_path: the Transform graph's `transform_fn` folder.
        splits: the folder of tf.Examples of `train` and `eval`.
        stages: what each stage learns from.
        embeddings: the folder of embedded rows of each distinct plan of the stages.
        model_path: where the SavedModel goes.
        record_path: the folder of the training record.
        checkpoint: where training saves its state, and resumes from it after a kill.
        start: the champion that a warm start begins with; None where none is asked for.
        rejected_before: how many rows were rejected when they were read.
    """
    keras.backend.clear_session()
    seed_everything(specification.training.seed)
    transform = TransformGraph(transform_path, specification.features, specification.labels)
    with precision(specification.training.precision):
        fused = build(specification, interfaces, opener(specification, submodels))
    data = StageDataSource(
        specification,
        fused,
        stages,
        EmbeddedStore(stages, embeddings),
        lambda split: RawRows(specification, transform, splits[split]),
        rejected_before=rejected_before,
    )
    data.check_limit()
    record = train(specification, interfaces, fused, data.of_stage, checkpoint, start, data)
    exported = export(
        specification, fused, transform, record.frozen, submodel_digests, model_path, data.unusable
    )
    proof = {
        name: part.model_copy(update={"exported": combined(exported[name].values())})
        for name, part in record.proof.items()
    }
    rejected = {split: len(places) for split, places in data.rejected.items()}
    record = record.model_copy(update={"proof": proof, "rejected": rejected})
    write_record(record, record_path)
    write_rejected(str(record_path), data.rejected_rows)
    epochs_by_stage = [stage.model_dump() for stage in record.stages]
    draw_curves(epochs_by_stage, record_path / CURVES_FILE)
    draw_graph(specification, interfaces, fused, record_path / GRAPH_FILE)
    write_logs(epochs_by_stage, record_path / TENSORBOARD_FOLDER)
    write_text(record_path / RECORD_FILE, record_text(specification, record))
    checkpoint.remove()
    return record
