"""The product as the campaign uses it: everything that it imports of it stands in this file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam
import keras
import numpy as np
import tensorflow as tf
import yaml

from tests.differential.case import TEXT, WHOLE, Case, Data
from tests.differential.labels import kind_of, written
from tfx_fusion.modules.data.rows import RowParser
from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.embedding import embedder as embedding
from tfx_fusion.modules.embedding.columns import Column, Contents
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import StagePlan, distinct_plans, plan_stages
from tfx_fusion.modules.embedding.write import collect, write_embeddings
from tfx_fusion.modules.errors import RunError, SpecificationError, UserError
from tfx_fusion.modules.evaluation.metrics import measures_of, values_of
from tfx_fusion.modules.evaluation.predictions import (
    CANDIDATE,
    predictions_folder,
    read_predictions,
    write_predictions,
)
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.serving.check.process import model_server
from tfx_fusion.modules.serving.remote import remote_model
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel
from tfx_fusion.modules.submodels.layer import opener
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.data import evaluation_rows, training_rows
from tfx_fusion.modules.training.embedded import new_head
from tfx_fusion.modules.training.run import fuse_and_train
from tfx_fusion.modules.training.train import StageData, seed_everything, train

REFUSALS = (SpecificationError, UserError)
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
EXAMPLES = "data_tfrecord-00000-of-00001"
PLACE = "differential.place"  # a column of row numbers, to learn in which order rows come
DTYPES = {"float32": tf.float32, "int64": tf.int64, "string": tf.string}

__all__ = ["REFUSALS", "Missed", "Product", "RunError"]


class Missed(Exception):  # noqa: N818
    """The product does not know something that plain Keras does, as one of several outputs."""


class _MemoryRows:
    """Rows in memory, as the product's training takes them."""

    def __init__(self, arrays: Mapping[str, Any], places: np.ndarray) -> None:
        self._arrays = {name: tf.constant(values) for name, values in arrays.items()}
        self._places = places

    def tensors(self, numbers: Any) -> dict[str, Any]:
        found = {name: tf.gather(values, numbers) for name, values in self._arrays.items()}
        return {**found, PLACE: tf.gather(tf.constant(self._places), numbers)}

    def count(self) -> int:
        return len(self._places)

    def class_indices(self, label: str) -> np.ndarray:
        return self._arrays[label].numpy()

    def label_values(self, label: str) -> np.ndarray:
        return self._arrays[label].numpy().reshape(-1)


class _Identity:
    """Stands for a Transform graph over rows that are transformed already."""

    def __init__(self, specs: Mapping[str, tf.io.FixedLenFeature]) -> None:
        self._specs = dict(specs)

    def example_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        return {**self._specs, "row_id": tf.io.FixedLenFeature((), tf.string)}

    def __call__(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return dict(raw)


class Product:
    """A case as the product makes it: the specification, its check and the fused model."""

    def __init__(self, case: Case, data: Data, paths: Mapping[str, Path], folder: Path) -> None:
        self.case, self.data, self.paths, self.folder = case, data, dict(paths), folder
        self.inspections = {
            name: inspect_submodel(path, None, self._custom(name)) for name, path in paths.items()
        }
        self.interfaces = {name: found.interface for name, found in self.inspections.items()}
        self._write_rows()
        file = folder / "fusion.yaml"
        file.write_text(yaml.safe_dump(self._specification(), sort_keys=False))
        self.specification = load_specification(file)
        self.copies = {name: folder / "submodels" / name for name in paths}
        for name, path in paths.items():
            if not self.copies[name].exists():
                copy_submodel(path, self.copies[name])
        # What a check accepts, training must build.
        self.sketch = build(self.specification, self.interfaces, open_interface)

    def fuse(self) -> Any:
        """The fused model of the real sub-models, with first weights by the seed."""
        keras.backend.clear_session()
        seed_everything(self.specification.training.seed)
        with precision(self.specification.training.precision):
            opened = opener(self.specification, self.copies)
            return build(self.specification, self.interfaces, opened)

    # ------------------------------------------------------------------------- specification

    def _custom(self, name: str) -> tuple[str, ...]:
        text = str(self.case.submodels[name])
        found = [f"tests.differential.own_{x.lower()}:Block" for x in "AB" if f"Own{x}" in text]
        if self.case.submodels[name]["form"] == "subclassed":
            found.append("tests.differential.own_a:Chain")
        return tuple(found)

    def reference(self, reference: str) -> str:
        """A reference in the product's own names of outputs."""
        name, _, place = reference.partition("#")
        if not place:
            return reference
        owner = self.case.submodels[name].get("same_as", name)
        structure = self.case.submodels[owner]["structure"]
        count = {"single": 1, "list": 2, "dict": 2, "pair": 2, "twice": 2, "nested": 3}[structure]
        outputs = list(self.interfaces[owner].outputs)
        if len(outputs) != count:
            raise Missed(
                f"{owner}: Keras gives {count} outputs, the product knows {', '.join(outputs)}"
            )
        if structure in ("dict", "pair"):
            outputs.sort()
        return name if count == 1 else f"{name}.{outputs[int(place)]}"

    def _entries(self, name: str) -> dict[str, str]:
        """A sub-model's inputs by the product's own names."""
        given = self.case.submodels[name]["inputs"]
        known = list(self.interfaces[self.case.submodels[name].get("same_as", name)].inputs)
        named = set(given) <= set(known) or len(known) != len(given)
        names = list(given) if named else known
        return {
            entry: self.reference(found["from"])
            for entry, found in zip(names, given.values(), strict=True)
        }

    def _specification(self) -> dict[str, Any]:
        case, features = self.case, {}
        for name, feature in case.features.items():
            kind = feature["kind"]
            if kind in ("variable", "sequence"):
                features[name] = {"type": "sequence", "column": name, "shape": feature["shape"],
                                  "variable": kind == "variable"}  # fmt: skip
            elif kind == "image":
                features[name] = {"type": "image", "column": name, "shape": feature["shape"]}
            else:
                dtype = {"ids": WHOLE, "words": TEXT}.get(kind, "float32")
                features[name] = {"type": "raw", "column": name, "dtype": dtype,
                                  "shape": feature["shape"]}  # fmt: skip
            if feature.get("missing"):
                features[name]["missing"] = feature["missing"]
        submodels = {}
        for name, found in case.submodels.items():
            submodels[name] = {"inputs": self._entries(name)}
            if "same_as" in found:
                submodels[name]["same_as"] = found["same_as"]
                continue
            submodels[name]["path"] = str(self.paths[name])
            if self._custom(name):
                submodels[name]["custom_objects"] = list(self._custom(name))
        graph = {}
        for name, node in case.nodes.items():
            inputs = node["inputs"]
            graph[name] = {
                **node,
                "inputs": [self.reference(r) for r in inputs]
                if isinstance(inputs, list) else self.reference(inputs),
            }  # fmt: skip
        outputs = {
            name: {
                **written(name, output)[0],
                "from": self.reference(output["from"]),
            }
            for name, output in case.outputs.items()
        }
        training = {key: value for key, value in case.training.items() if key != "rows"}
        found = {
            "name": "differential",
            "data": {"path": "rows.jsonl", "split": {"column": "split"}},
            "features": features,
            "labels": {n: written(n, o)[1] for n, o in case.outputs.items()},
            "submodels": submodels, "graph": graph, "outputs": outputs, "training": training,
            "publish": {"path": "serving"},
        }  # fmt: skip
        return {key: value for key, value in found.items() if value or key != "submodels"}

    def _write_rows(self) -> None:
        data, lines = self.data, []
        for row in range(self.case.training["rows"]):
            line: dict[str, Any] = {"split": "eval" if row in data.eval else "train"}
            for name, feature in self.case.features.items():
                value = data.features[name][row]
                if name in data.absent and data.absent[name][row]:
                    line[name] = None
                elif feature["kind"] == "image":
                    line[name] = f"{name}_{row}.png"
                    if "full" in self.case.levels:
                        pixels = np.round(value * 255).astype("uint8")
                        (self.folder / line[name]).write_bytes(tf.io.encode_png(pixels).numpy())
                elif name in data.lengths:
                    line[name] = value[: data.lengths[name][row]].tolist()
                elif feature["kind"] == "sequence":
                    line[name] = value.tolist()
                else:
                    line[name] = value.reshape(-1).tolist()
            for name, output in self.case.outputs.items():
                if name in data.weights:
                    line[f"weights_{name}"] = float(data.weights[name][row])
                value = data.labels[name][row]
                if output["label"]["type"] == "number":
                    line[f"label_{name}"] = float(value[0])
                elif output["label"]["type"] == "category":
                    line[f"label_{name}"] = output["label"]["classes"][int(value)]
                else:
                    classes = zip(output["label"]["classes"], value, strict=True)
                    line[f"label_{name}"] = [c for c, has in classes if has]
            lines.append(line)
        self.lines = lines
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.folder / "rows.jsonl").write_text(text)

    # ------------------------------------------------------------------------------ inference

    def arrays(self, model: Any, rows: np.ndarray) -> dict[str, Any]:
        """What a fused model takes, for some rows."""
        found = {}
        for name in model.input:
            if name.endswith(".missing"):
                found[name] = self.data.absent[name.removesuffix(".missing")][rows]
            elif name.endswith("_length"):
                found[name] = self.data.lengths[name.removesuffix("_length")][rows]
            else:
                values = self.data.features[name][rows]
                found[name] = np.array(values.tolist()) if values.dtype == object else values
        return found

    def predict(self, model: Any, rows: np.ndarray, mode: str) -> dict[str, np.ndarray]:
        """Predictions of a fused model: `eager`, `graph`, or `training` with what is frozen."""
        model = model.model
        fed = {name: tf.constant(values) for name, values in self.arrays(model, rows).items()}
        if mode == "graph":
            call = tf.function(lambda given: model(given, training=False), autograph=False)
            found = call(fed)
        else:
            found = model(fed, training=mode == "training")
        return {name: np.asarray(value) for name, value in found.items()}

    def layer_weights(self, fused: Any, node: str) -> list[list[np.ndarray]]:
        """The weights of a node's new layers, layer by layer."""
        return [
            [np.asarray(w) for w in layer.weights if "seed_generator" not in w.path]
            for layer in fused.layers[node]
        ]

    def vectors(self, fused: Any) -> dict[str, Any]:
        """What stands for a missing feature, by the case's references."""
        own = {
            self.reference(r): r
            for name in (*self.case.submodels, *self.case.nodes)
            for r in self.case.inputs_of(name)
        }
        return {
            own[reference]: layer.vector
            for reference, layer in fused.replacements.items()
            if layer.vector is not None
        }

    # ------------------------------------------------------------------------------- training

    def _labels(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        weights = {f"{name}.weights": values for name, values in self.data.weights.items()}
        return {name: values[rows] for name, values in {**self.data.labels, **weights}.items()}

    def order(self) -> list[list[np.ndarray]]:
        """The rows of every epoch, in the product's own batches."""
        rows = _MemoryRows(self._labels(self.data.train), self.data.train)
        epochs = training_rows(self.specification, rows, [PLACE])
        count = sum(stage.epochs for stage in self.specification.training.stages)
        found = [
            features[PLACE].numpy() for features, *_ in epochs.batches(0).take(epochs.steps * count)
        ]
        return [found[n * epochs.steps : (n + 1) * epochs.steps] for n in range(count)]

    def plans(self) -> list[StagePlan]:
        """What each stage learns from."""
        return plan_stages(self.specification, self.sketch)

    def train(self, fused: Any, embedded: bool) -> list[dict[str, float]]:
        """Trains in this process, on raw rows or on embeddings; returns every epoch's log."""
        stages = self.plans()

        def data_of(position: int) -> StageData:
            plan = stages[position].plan if embedded else None
            if plan is None:
                model, split = fused.model, self._raw_rows(fused.model)
            else:
                contents, split = self._embed(plan)
                model = new_head(fused, contents)
            inputs = list(model.input)
            return StageData(
                model,
                training_rows(self.specification, split["train"], inputs),
                evaluation_rows(self.specification, split["eval"], inputs),
                stages[position].learns_from,
            )

        history = train(self.specification, self.interfaces, fused, data_of)
        return [epoch for stage in history.stages for epoch in stage.epochs]

    def _raw_rows(self, model: Any) -> dict[str, _MemoryRows]:
        return {
            split: _MemoryRows({**self.arrays(model, rows), **self._labels(rows)}, rows)
            for split, rows in (("train", self.data.train), ("eval", self.data.eval))
        }

    def _embed(self, plan: Any) -> tuple[Contents, dict[str, _MemoryRows]]:
        """The embeddings of a plan by the product's own embedder, without Beam."""
        known = {
            **self.data.features,
            **{f"{name}.missing": values for name, values in self.data.absent.items()},
            **{f"{name}_length": values for name, values in self.data.lengths.items()},
            **self.data.labels,
            **{f"{name}.weights": values for name, values in self.data.weights.items()},
        }
        specs = {
            name: tf.io.FixedLenFeature(values.shape[1:], _dtype(values))
            for name, values in known.items()
        }
        before, embedding.TransformGraph = embedding.TransformGraph, lambda *_: _Identity(specs)
        try:
            made = Embedder(plan, self.interfaces, self.copies, "")
        finally:
            embedding.TransformGraph = before
        split: dict[str, _MemoryRows] = {}
        columns: tuple[Column, ...] = ()
        for name, rows in (("train", self.data.train), ("eval", self.data.eval)):
            file = str(self.folder / f"{name}.tfrecord")
            with tf.io.TFRecordWriter(file) as writer:
                for row in rows:
                    example = tf.train.Example()
                    example.features.feature["row_id"].bytes_list.value.append(b"%d" % row)
                    for key, values in known.items():
                        example.features.feature[key].CopyFrom(_feature(values[row]))
                    writer.write(example.SerializeToString())
            batches = list(made.batches(file))
            found = {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
            columns = tuple(Column.of(key, values) for key, values in found.items())
            del found["row_id"]
            split[name] = _MemoryRows(
                {k: v.tolist() if v.dtype == object else v for k, v in found.items()}, rows
            )
        contents = Contents(
            plan=plan, columns=columns, rows={n: s.count() for n, s in split.items()}
        )
        return contents, split

    # -------------------------------------------------------------- files, export and servers

    def run(self, embedded: bool) -> Path:
        """Trains as a run does, from tf.Examples on disk to the exported model; its folder."""
        inputs = self.folder / "inputs"
        if not inputs.exists():
            self._prepare(inputs)
        folder = self.folder / ("embedded" if embedded else "raw")
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
        fuse_and_train(
            self.specification,
            self.interfaces,
            self.copies,
            {name: found.digest for name, found in self.inspections.items()},
            transform_path=transform,
            splits=splits,
            stages=stages,
            embeddings=folders,
            model_path=folder / "serving" / "1",
            record_path=folder / "record",
            checkpoint=Checkpoint(folder / "checkpoint"),
        )
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
            for r in tf.data.TFRecordDataset(
                str(folder / "Split-train/data_tfrecord-00000-of-00001")
            )
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
        from tfx_fusion.modules.spec import stored_columns

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


def _dtype(values: np.ndarray) -> tf.DType:
    if values.dtype == object:
        return tf.string
    return tf.int64 if values.dtype.kind == "i" else tf.float32


def _feature(value: Any) -> tf.train.Feature:
    array = np.asarray(value).reshape(-1)
    if array.dtype.kind == "i":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=array))
    if array.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=array))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in array]))
