"""The product from files: training as a run does, the exported model and the servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam
import numpy as np
import tensorflow as tf

from tests.differential.labels import kind_of
from tests.differential.product import Product
from tests.differential.stand_ins import Killed, Killing
from tfx_fusion.modules.data.rows import RowParser
from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import StagePlan, distinct_plans
from tfx_fusion.modules.embedding.write import collect, write_embeddings
from tfx_fusion.modules.evaluation.metrics import measures_of, values_of
from tfx_fusion.modules.evaluation.predictions import (
    CANDIDATE,
    predictions_folder,
    read_predictions,
    write_predictions,
)
from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.serving.check.process import model_server
from tfx_fusion.modules.serving.remote import remote_model
from tfx_fusion.modules.spec import stored_columns
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.run import fuse_and_train
from tfx_fusion.modules.training.warm_start import Champion

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
EXAMPLES = "data_tfrecord-00000-of-00001"
DTYPES = {"float32": tf.float32, "int64": tf.int64, "string": tf.string}


class ProductFiles(Product):
    """A case through files, from tf.Examples to the model server."""

    def run(self, embedded: bool, kill: int | None = None, champion: Path | None = None) -> Path:
        """Trains as a run does, from tf.Examples on disk to the exported model; its folder.

        Args:
            embedded: whether to train on embeddings where a stage can.
            kill: after how many epochs training is killed, and started again.
            champion: the folder of the run whose values training begins with.
        """
        inputs = self.folder / "inputs"
        if not inputs.exists():
            self._prepare(inputs)
        folder = self.folder / f"{'embedded' if embedded else 'raw'}{'_warm' if champion else ''}"
        splits = {split: str(inputs / f"Split-{split}") for split in ("train", "eval")}
        transform = str(inputs / "transform" / "transform_fn")
        stages = self.plans()
        if not embedded:
            stages = [StagePlan(plan=None, reason="the campaign's rows")] * len(stages)
        folders = []
        for position, plan in enumerate(distinct_plans(stages)):
            folders.append(str(folder / f"embeddings_{position}"))
            make = partial(Embedder, plan, self.interfaces, self.copies, transform)
            wanted = {split: f"{folders[-1]}/Split-{split}" for split in splits}
            with apache_beam.Pipeline(runner=RUNNER) as pipeline:
                write_embeddings(pipeline, make, splits, wanted, f"{folders[-1]}/shards")
            collect(plan, f"{folders[-1]}/shards", folders[-1])
        digests = {name: found.digest for name, found in self.inspections.items()}
        work = partial(
            fuse_and_train,
            self.specification,
            self.interfaces,
            self.copies,
            digests,
            transform_path=transform,
            splits=splits,
            stages=stages,
            embeddings=folders,
            model_path=folder / "serving" / "1",
            record_path=folder / "record",
            start=Champion.read(champion / "serving" / "1", digests) if champion else None,
        )
        if kill:
            with contextlib.suppress(Killed):
                work(checkpoint=Killing(folder / "checkpoint", kill))
        work(checkpoint=Checkpoint(folder / "checkpoint"))
        return folder

    def _prepare(self, folder: Path) -> None:
        import tensorflow_transform.beam as tft_beam
        from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata
        from tensorflow_transform.tf_metadata.schema_utils import schema_as_feature_spec

        features, labels = self.specification.features, self.specification.labels
        parser = RowParser(features, labels, self.folder)
        for split, rows in (("train", self.data.train), ("eval", self.data.eval)):
            (folder / f"Split-{split}").mkdir(parents=True)
            file = str(folder / f"Split-{split}" / EXAMPLES)
            with tf.io.TFRecordWriter(file) as writer:
                for row in rows:
                    example = parser.example(f"row {row}", self.lines[row])
                    writer.write(example.SerializeToString())
        schema = implied_schema(features, labels)
        spec = schema_as_feature_spec(schema).feature_spec
        given = [
            {name: tensor.numpy() for name, tensor in tf.io.parse_single_example(r, spec).items()}
            for r in tf.data.TFRecordDataset(str(folder / "Split-train" / EXAMPLES))
        ]
        with (
            apache_beam.Pipeline(runner=RUNNER) as pipeline,
            tft_beam.Context(temp_dir=str(folder / "temporary")),
        ):
            rows = (pipeline | apache_beam.Create(given), DatasetMetadata(schema))
            config = transform_config(features, labels)
            analysed = rows | tft_beam.AnalyzeDataset(
                partial(preprocessing_fn, custom_config=config)
            )
            _ = analysed | tft_beam.WriteTransformFn(str(folder / "transform"))

    def exported(self, folder: Path) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Predictions of the evaluation rows by the exported model, and the evaluator's metrics."""
        split = str(self.folder / "inputs" / "Split-eval")
        evaluation = folder / "evaluation"
        with apache_beam.Pipeline(runner=RUNNER) as pipeline:
            write_predictions(
                pipeline, self.specification, {CANDIDATE: folder / "serving" / "1"}, split,
                predictions_folder(evaluation),
            )  # fmt: skip
        rows = read_predictions(self.specification, evaluation)
        metrics: dict[str, float] = {}
        for name in self.specification.outputs:
            found = measures_of(self.specification, name, rows.labels[name], rows.predictions[name])
            values = values_of(found, len(rows.labels[name]))
            metrics |= {f"{name}_{metric}": value for metric, value in values.items()}
        return dict(rows.predictions), metrics

    def raw(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What a served model takes, for some rows."""
        parser = RowParser(self.specification.features, {}, self.folder)
        specs = {
            name: tf.io.FixedLenFeature(shape, DTYPES[dtype])
            for name, (shape, dtype) in stored_columns(self.specification.features).items()
        }
        records = [parser.example("", self.lines[row]).SerializeToString() for row in rows]
        return {n: t.numpy() for n, t in tf.io.parse_example(records, specs).items()}

    def named(self, folder: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Answers of the exported model's default signature."""
        loaded = tf.saved_model.load(str(folder / "serving" / "1"))
        sign = loaded.signatures["serving_default"]
        given = self.raw(rows)
        names = sign.structured_input_signature[1]
        return self._answers(sign(**{name: tf.constant(given[name]) for name in names}))

    def _answers(self, found: Mapping[str, Any]) -> dict[str, np.ndarray]:
        answers = {}
        for name, output in self.case.outputs.items():
            if output["label"]["type"] == "number":
                answers[name] = np.asarray(found[name])
                continue
            answers[name] = np.asarray(found[f"{name}_probabilities"])
            if kind_of(output) == "binary":
                answers[name] = answers[name][:, 1:]
        return answers

    def served(self, folder: Path, rows: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Answers of the model server over gRPC and REST, and of single rows."""
        given = self.raw(rows)
        used = list(self.sketch.model.input)
        given = {name: values for name, values in given.items() if name in used}
        found = {}
        log = self.folder / "server.log"
        with model_server(folder / "serving", self.specification.name, log, ours=True) as running:
            for kind, address in (("grpc", running.grpc), ("rest", running.rest)):
                ask: Callable[[Any], Any] = remote_model(self.specification, address).ask
                found[kind] = self._answers(ask(given))
                singles = [
                    self._answers(ask({name: v[n : n + 1] for name, v in given.items()}))
                    for n in range(len(rows))
                ]
                found[f"{kind}, row by row"] = {
                    name: np.concatenate([one[name] for one in singles]) for name in found[kind]
                }
        return found
