"""The product as the campaign uses it: in memory; `product_files` is the rest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import yaml

from tests.differential.case import TEXT, WHOLE, Case
from tests.differential.data_file import write_rows
from tests.differential.labels import written
from tests.differential.recorder import Recorder, name_by_value
from tests.differential.rows import Data
from tests.differential.stand_ins import (
    PLACE,
    Identity,
    Killed,
    Killing,
    MemoryRows,
    dtype_of,
    feature_of,
)
from tfx_fusion.modules.embedding import embedder as embedding
from tfx_fusion.modules.embedding.columns import Column, Contents
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import StagePlan, plan_stages
from tfx_fusion.modules.errors import SpecificationError, UserError
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.graph.missing import Absence
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel
from tfx_fusion.modules.submodels.layer import opener
from tfx_fusion.modules.training import train as training
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.data import evaluation_rows, training_rows
from tfx_fusion.modules.training.embedded import new_head
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.train import StageData, seed_everything, train
from tfx_fusion.modules.training.trained_values import (
    Trained,
    trained_variables,
    values_of,
    write_trained,
)
from tfx_fusion.modules.training.warm_start import Champion

REFUSALS = (SpecificationError, UserError)


class Missed(Exception):  # noqa: N818
    """The product does not know something that plain Keras does, as one of several outputs."""


class Product:
    """A case as the product makes it: the specification, its check and the fused model."""

    def __init__(self, case: Case, data: Data, paths: Mapping[str, Path], folder: Path) -> None:
        self.case, self.data, self.paths, self.folder = case, data, dict(paths), folder
        self.inspections = {
            name: inspect_submodel(path, None, self._custom(name)) for name, path in paths.items()
        }
        self.interfaces = {name: found.interface for name, found in self.inspections.items()}
        self.lines = write_rows(case, data, folder)
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
            elif kind == "text":
                vocabulary = self.folder / f"{name}.txt"
                vocabulary.write_text("".join(f"{word}\n" for word in feature["vocabulary"]))
                features[name] = {"type": "text", "column": name, "encoding": feature["encoding"],
                                  "vocabulary": str(vocabulary)}  # fmt: skip
                if feature["encoding"] == "ids":
                    features[name]["length"] = feature["shape"][0]
            elif kind == "number":
                columns = [f"{name}_{number}" for number in range(feature["shape"][0])]
                features[name] = {"type": "number", "columns": columns,
                                  "normalize": feature["normalize"]}  # fmt: skip
            elif kind == "image":
                features[name] = {"type": "image", "column": name, "shape": feature["shape"]}
            else:
                dtype = {"ids": WHOLE, "words": TEXT}.get(kind, "float32")
                features[name] = {"type": "raw", "column": name, "dtype": dtype,
                                  "shape": feature["shape"]}  # fmt: skip
            if feature.get("missing"):
                plain = feature["missing"] == {"replace": "learned"}
                features[name]["missing"] = "allowed" if plain else feature["missing"]
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
        own = ("rows", "kill")
        training = {key: value for key, value in case.training.items() if key not in own}
        found = {
            "name": "differential",
            "data": {"path": "rows.jsonl", "split": {"column": "split"}},
            "features": features,
            "labels": {n: written(n, o)[1] for n, o in case.outputs.items()},
            "submodels": submodels, "graph": graph, "outputs": outputs, "training": training,
            "publish": {"path": "serving"},
        }  # fmt: skip
        return {key: value for key, value in found.items() if value or key != "submodels"}

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
        return [[np.asarray(w) for w in layer.weights] for layer in fused.layers[node]]

    def seeds(self, fused: Any) -> dict[str, np.ndarray]:
        """What the rows that go without a feature at random are drawn from, by feature."""
        found = {}
        for layer in fused.model.layers:
            if isinstance(layer, Absence):
                for variable in layer.variables:
                    found[layer.name.removesuffix(".absent")] = np.asarray(variable)
        return found

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
        rows = MemoryRows(self._labels(self.data.train), self.data.train)
        epochs = training_rows(self.specification, rows, [PLACE])
        count = sum(stage.epochs for stage in self.specification.training.stages)
        found = [
            features[PLACE].numpy() for features, *_ in epochs.batches(0).take(epochs.steps * count)
        ]
        return [found[n * epochs.steps : (n + 1) * epochs.steps] for n in range(count)]

    def plans(self) -> list[StagePlan]:
        """What each stage learns from."""
        return plan_stages(self.specification, self.sketch)

    def train(
        self, fused: Any, embedded: bool, kill: int | None = None, champion: Champion | None = None
    ) -> tuple[Any, TrainingRecord]:
        """Trains in this process, on raw rows or on embeddings.

        Args:
            fused: the model that is trained.
            embedded: whether to train on embeddings where a stage can.
            kill: after how many epochs training is killed, and resumed by a new model.
            champion: whose values training begins with.

        Returns the trained model and the record.
        """
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

        if kill is None:
            return fused, train(
                self.specification, self.interfaces, fused, data_of, champion=champion
            )
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            record = train(
                self.specification, self.interfaces, fused, data_of, Killing(folder, kill)
            )
        except Killed:
            fused = self.fuse()
            record = train(self.specification, self.interfaces, fused, data_of, Checkpoint(folder))
        return fused, record

    def gradients(self, embedded: bool) -> dict[str, np.ndarray]:
        """The sum of the gradients over an epoch of each stage, without a step."""
        recorders: list[Recorder] = []

        def record(*_: Any) -> Recorder:
            recorders.append(Recorder())
            return recorders[-1]

        whole, fused = self.specification, self.fuse()
        once = {"epochs": 1, "early_stopping": None}
        stages = [stage.changed(**once) for stage in whole.training.stages]
        self.specification = whole.changed(training=whole.training.changed(stages=stages))
        before, training.new_optimizer = training.new_optimizer, record
        try:
            self.train(fused, embedded)
        finally:
            self.specification, training.new_optimizer = whole, before
        named = {id(v): name for name, v in self.vectors(fused).items()}
        for name, layers in fused.layers.items():
            for place, layer in enumerate(layers):
                for number, variable in enumerate(layer.trainable_variables):
                    named[id(variable)] = f"{name}/{place}/{number}"
        for name, layer in fused.submodels.items():
            named |= {id(v): name_by_value(name, v) for v in layer.variables}
        return {
            f"{position}/{named[id(variable)]}": total
            for position, recorder in enumerate(recorders)
            for variable, total in zip(
                recorder._trainable_variables, recorder.totals(), strict=True
            )
        }

    def champion(self, fused: Any, record: TrainingRecord) -> Champion:
        """A trained model as the version that a warm start begins with."""
        digests = {name: found.digest for name, found in self.inspections.items()}
        version = self.folder / "champion"
        (version / "assets.extra").mkdir(parents=True)
        trained = values_of(trained_variables(fused, record.frozen))
        write_trained(Trained(trained, digests), version)
        return Champion.read(version, digests)

    def _raw_rows(self, model: Any) -> dict[str, MemoryRows]:
        return {
            split: MemoryRows({**self.arrays(model, rows), **self._labels(rows)}, rows)
            for split, rows in (("train", self.data.train), ("eval", self.data.eval))
        }

    def _embed(self, plan: Any) -> tuple[Contents, dict[str, MemoryRows]]:
        """The embeddings of a plan by the product's own embedder, without Beam."""
        known = {
            **self.data.features,
            **{f"{name}.missing": values for name, values in self.data.absent.items()},
            **{f"{name}_length": values for name, values in self.data.lengths.items()},
            **self.data.labels,
            **{f"{name}.weights": values for name, values in self.data.weights.items()},
        }
        specs = {
            name: tf.io.FixedLenFeature(values.shape[1:], dtype_of(values))
            for name, values in known.items()
        }
        before, embedding.TransformGraph = embedding.TransformGraph, lambda *_: Identity(specs)
        try:
            made = Embedder(plan, self.interfaces, self.copies, "")
        finally:
            embedding.TransformGraph = before
        split: dict[str, MemoryRows] = {}
        columns: tuple[Column, ...] = ()
        for name, rows in (("train", self.data.train), ("eval", self.data.eval)):
            file = str(self.folder / f"{name}.tfrecord")
            with tf.io.TFRecordWriter(file) as writer:
                for row in rows:
                    example = tf.train.Example()
                    example.features.feature["row_id"].bytes_list.value.append(b"%d" % row)
                    for key, values in known.items():
                        example.features.feature[key].CopyFrom(feature_of(values[row]))
                    writer.write(example.SerializeToString())
            batches = list(made.batches(file))
            found = {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
            columns = tuple(Column.of(key, values) for key, values in found.items())
            del found["row_id"]
            split[name] = MemoryRows(
                {k: v.tolist() if v.dtype == object else v for k, v in found.items()}, rows
            )
        contents = Contents(
            plan=plan, columns=columns, rows={n: s.count() for n, s in split.items()}
        )
        return contents, split
