"""From examples and imported sub-models to one SavedModel, on the real Transform graph.

The oracle recomputes predictions from the raw rows: NumPy and Pillow for the features, the
pretrained models as they were saved, NumPy for the head with the weights found in the export.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import build
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import Specification, Training, load_specification
from tfx_fusion.modules.submodels.copy import copy_submodel
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.data import RawRows
from tfx_fusion.modules.training.export import SPECIFICATION_FILE, export
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.run import HISTORY_FILE, fuse_and_train, last_epoch
from tfx_fusion.modules.training.stage_data import EmbeddedStore, StageDataSource
from tfx_fusion.modules.training.train import train

pytestmark = pytest.mark.component

RAW = StagePlan(plan=None)
CLASSES = ["red", "green", "blue"]
WORDS = ["[UNK]", "red", "green", "blue", "very", "rather"]


@dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    folder: Path
    history: TrainingRecord

    @property
    def model(self) -> Path:
        return self.folder / "model" / "Format-Serving"

    @property
    def record(self) -> Path:
        return self.folder / "record"

    def signature(self, name: str = "serving_default") -> Callable[..., dict[str, Any]]:
        loaded = tf.saved_model.load(str(self.model))
        function = loaded.signatures[name]
        # A signature does not keep the model it belongs to alive.
        function.loaded = loaded
        return function


def run(specification: Specification, inputs: Any, folder: Path) -> Trained:
    """Imports the sub-models and trains; `inputs` are the `TrainingInputs` of conftest."""
    paths = {name: path for name, (_, path) in specification.imported().items()}
    copies = {name: folder / "submodels" / name for name in paths}
    for name, path in paths.items():
        copy_submodel(path, copies[name])
    history = fuse_and_train(
        specification,
        interfaces={name: inspect_submodel(path).interface for name, path in paths.items()},
        submodels=copies,
        submodel_digests=dict.fromkeys(paths, ""),
        transform_path=str(inputs.transform_graph / "transform_fn"),
        splits={split: str(path) for split, path in inputs.splits.items()},
        stages=[RAW for _ in specification.training.stages],
        embeddings=[],
        model_path=folder / "model" / "Format-Serving",
        record_path=folder / "record",
        checkpoint=Checkpoint(folder / "checkpoint"),
    )
    return Trained(folder, history)


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    return load_specification(shared_world / "fusion.yaml")


@pytest.fixture(scope="module")
def trained(
    specification: Specification,
    shared_training_inputs: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    return run(specification, shared_training_inputs, tmp_path_factory.mktemp("trained"))


def with_training(specification: Specification, **changes: Any) -> Specification:
    """The specification with other values for its training."""
    training = {**specification.training.model_dump(by_alias=True), **changes}
    return specification.model_copy(update={"training": Training.model_validate(training)})


def one_stage(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "head", "epochs": 1, "learning_rate": 0.01, **changes}]


@dataclass(frozen=True)
class ClientRows:
    """Rows of the shared world as a client of the served model has them."""

    images: list[bytes]
    words: list[bytes]
    classes: list[int]

    def request(self) -> dict[str, tf.Tensor]:
        return {"image": tf.constant(self.images), "words": tf.constant(self.words)}


@pytest.fixture(scope="module")
def raw(shared_world: Path) -> ClientRows:
    """The rows of the split `eval`: the last third."""
    with (shared_world / "data" / "rows.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[60:]
    return ClientRows(
        images=[(shared_world / "data" / row["image_path"]).read_bytes() for row in rows],
        words=[row["transcript"].encode() for row in rows],
        classes=[CLASSES.index(row["colour"]) for row in rows],
    )


@pytest.fixture(scope="module")
def examples(shared_training_inputs: Any) -> tf.Tensor:
    """The split `eval` as serialized tf.Examples."""
    [file] = shared_training_inputs.splits["eval"].iterdir()
    return tf.constant([record.numpy() for record in tf.data.TFRecordDataset(str(file))])


def head_weights(trained: Trained) -> dict[str, np.ndarray]:
    """The weights of the new layers in the exported model, by name."""
    loaded = tf.saved_model.load(str(trained.model))
    found = {variable.name.split(":")[0]: variable.numpy() for variable in loaded.others}
    return {
        name: found[name]
        for name in ("hidden/kernel", "hidden/bias", "scores/kernel", "scores/bias")
    }


def pixels_of(image: bytes, folder: Path) -> np.ndarray:
    file = folder / "image.png"
    file.write_bytes(image)
    return np.asarray(Image.open(file).convert("RGB"), "float32") / 255


def multi_hot(words: bytes) -> np.ndarray:
    tokens = words.decode().lower().replace(",", "").replace("!", "").split()
    ids = [WORDS.index(token) if token in WORDS else 0 for token in tokens]
    return np.bincount(ids, minlength=len(WORDS)).clip(max=1).astype("float32")


def predicted_by_hand(trained: Trained, raw: ClientRows, world: Path, folder: Path) -> np.ndarray:
    vision = keras.saving.load_model(world / "models" / "vision.keras")
    vision = keras.Model(vision.input, vision.get_layer("features").output)
    text = tf.saved_model.load(str(world / "models" / "text"))
    images = np.stack([pixels_of(image, folder) for image in raw.images])
    tokens = np.stack([multi_hot(words) for words in raw.words])
    said = text.signatures["serving_default"](tokens=tf.constant(tokens))["features"]
    joined = np.concatenate([vision(images, training=False), said], axis=1)
    head = head_weights(trained)
    hidden = np.maximum(joined @ head["hidden/kernel"] + head["hidden/bias"], 0)
    scores = hidden @ head["scores/kernel"] + head["scores/bias"]
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------- the exported model


def test_the_served_model_takes_exactly_the_used_features_as_they_stand_in_a_row(
    trained: Trained,
) -> None:
    _, inputs = trained.signature().structured_input_signature

    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in inputs.items()} == {
        "image": ([None], tf.string),
        "words": ([None], tf.string),
    }


def test_the_served_model_answers_probabilities_and_their_classes(
    trained: Trained, raw: ClientRows
) -> None:
    answer = trained.signature()(**raw.request())

    assert set(answer) == {"colour_probabilities", "colour_classes"}
    probabilities = answer["colour_probabilities"].numpy()
    assert probabilities.shape == (len(raw.words), 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-6)
    assert answer["colour_classes"].numpy().tolist() == [[name.encode() for name in CLASSES]] * len(
        raw.words
    )


def test_the_served_model_computes_from_raw_rows_what_one_computes_by_hand(
    trained: Trained, raw: ClientRows, shared_world: Path, tmp_path: Path
) -> None:
    wanted = predicted_by_hand(trained, raw, shared_world, tmp_path)

    given = trained.signature()(**raw.request())["colour_probabilities"]

    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-6)
    # The rows differ, or the comparison would prove little.
    assert np.ptp(wanted, axis=0).max() > 0.01


def test_one_row_is_answered_as_in_a_batch(trained: Trained, raw: ClientRows) -> None:
    serve = trained.signature()
    batch = serve(**raw.request())["colour_probabilities"].numpy()

    alone = serve(image=tf.constant(raw.images[3:4]), words=tf.constant(raw.words[3:4]))

    np.testing.assert_allclose(alone["colour_probabilities"], batch[3:4], rtol=0, atol=1e-6)


def test_examples_are_answered_as_the_raw_rows_they_were_made_from(
    trained: Trained, raw: ClientRows, examples: tf.Tensor
) -> None:
    answer = trained.signature("predict_examples")(examples=examples)

    assert list(answer) == ["colour"]
    np.testing.assert_array_equal(
        answer["colour"], trained.signature()(**raw.request())["colour_probabilities"]
    )


def test_labels_come_out_as_the_loss_sees_them(
    trained: Trained, raw: ClientRows, examples: tf.Tensor
) -> None:
    answer = trained.signature("transform_labels")(examples=examples)

    assert list(answer) == ["colour"]
    assert answer["colour"].dtype == tf.int64
    assert answer["colour"].numpy().tolist() == raw.classes


def test_the_specification_travels_beside_the_model(
    trained: Trained, specification: Specification
) -> None:
    kept = (trained.model / SPECIFICATION_FILE).read_text()

    assert Specification.model_validate_json(kept) == specification


# -------------------------------------------------------------------------------- the record


def test_the_record_tells_every_epoch_with_losses_and_metrics(
    trained: Trained, specification: Specification
) -> None:
    record = json.loads((trained.record / HISTORY_FILE).read_text())

    assert record == json.loads(json.dumps(asdict(trained.history)))
    [stage] = record["stages"]
    assert stage["name"] == "head"
    assert stage["seconds"] > 0
    assert len(stage.epochs) == specification.training.stages[0].epochs
    for epoch in stage.epochs:
        assert set(epoch) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert np.isfinite(list(epoch.values())).all()
    assert last_epoch(trained.record) == stage.epochs[-1]


def test_the_last_validation_is_that_of_the_exported_model(
    trained: Trained, raw: ClientRows, shared_world: Path, tmp_path: Path
) -> None:
    predicted = predicted_by_hand(trained, raw, shared_world, tmp_path)
    chosen = predicted[np.arange(len(raw.classes)), raw.classes]

    told = last_epoch(trained.record)

    assert told["val_loss"] == pytest.approx(-np.mean(np.log(chosen)), rel=1e-4)
    assert told["val_accuracy"] == pytest.approx(
        np.mean(predicted.argmax(axis=1) == raw.classes), abs=1e-6
    )


def sha256(value: Any) -> str:
    array = np.asarray(value)
    return hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()


def test_the_record_holds_the_digest_of_every_frozen_tensor_as_it_was_imported(
    trained: Trained, shared_world: Path
) -> None:
    vision = keras.saving.load_model(shared_world / "models" / "vision.keras")
    needed = keras.Model(vision.input, vision.get_layer("features").output).weights
    text = tf.saved_model.load(str(shared_world / "models" / "text"))
    variables = text.signatures["serving_default"].variables

    frozen = json.loads((trained.record / HISTORY_FILE).read_text())["frozen"]

    assert set(frozen) == {"vision", "text"}
    assert sorted(frozen["vision"].values()) == sorted(sha256(weight) for weight in needed)
    assert sorted(frozen["text"].values()) == sorted(sha256(v.numpy()) for v in variables)
    assert any("moving_variance" in name for name in frozen["vision"])


def test_the_exported_model_holds_the_frozen_tensors_bit_for_bit(trained: Trained) -> None:
    loaded = tf.saved_model.load(str(trained.model))

    for submodel, digests in trained.history.frozen.items():
        held = [sha256(variable.numpy()) for variable in loaded.frozen[submodel]]
        assert held == list(digests.values())


def test_a_run_that_ended_leaves_no_state_to_go_on_from(trained: Trained) -> None:
    assert not (trained.folder / "checkpoint").exists()


# ---------------------------------------------------------------------------- the same again


def without_seconds(history: TrainingRecord) -> dict[str, Any]:
    return {
        "frozen": history.frozen,
        "stages": [{**stage, "seconds": 0.0} for stage in history.stages],
    }


def test_two_runs_of_one_seed_are_bit_equal(
    trained: Trained,
    specification: Specification,
    shared_training_inputs: Any,
    raw: ClientRows,
    tmp_path: Path,
) -> None:
    again = run(specification, shared_training_inputs, tmp_path)

    assert without_seconds(again.history) == without_seconds(trained.history)
    np.testing.assert_array_equal(
        again.signature()(**raw.request())["colour_probabilities"],
        trained.signature()(**raw.request())["colour_probabilities"],
    )


def test_another_seed_trains_another_head_on_the_same_frozen_tensors(
    trained: Trained, specification: Specification, shared_training_inputs: Any, tmp_path: Path
) -> None:
    other = run(with_training(specification, seed=8), shared_training_inputs, tmp_path)

    assert other.history.frozen == trained.history.frozen
    assert other.history.stages[0].epochs != trained.history.stages[0].epochs


# ---------------------------------------------------------------------------- what must fail


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_loss_that_is_no_number_stops_and_leaves_no_model_behind(
    specification: Specification, shared_training_inputs: Any, tmp_path: Path
) -> None:
    hopeless = with_training(specification, stages=one_stage(learning_rate=1e38))

    with pytest.raises(RunError) as caught:
        run(hopeless, shared_training_inputs, tmp_path)

    message = str(caught.value)
    assert message.startswith(
        "training.stages.0: in stage 'head' the loss is not a finite number after "
    )
    assert "epoch 1: lower the learning_rate (now 1e+38)" in message
    assert not (tmp_path / "model" / "Format-Serving").exists()
    assert not (tmp_path / "record" / HISTORY_FILE).exists()


def test_a_failed_run_leaves_keras_as_it_found_it(
    specification: Specification, shared_training_inputs: Any, tmp_path: Path
) -> None:
    hopeless = with_training(
        specification, precision="mixed_bfloat16", stages=one_stage(learning_rate=1e38)
    )

    with pytest.raises(RunError):
        run(hopeless, shared_training_inputs, tmp_path)

    policy = keras.config.dtype_policy().name
    keras.config.set_dtype_policy("float32")
    assert policy == "float32"


class Assembled:
    """The parts of a run, to step in between them."""

    def __init__(self, specification: Specification, inputs: Any) -> None:
        paths = {name: path for name, (_, path) in specification.imported().items()}
        self.specification = specification
        self.interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}
        self.fused = build(
            specification,
            self.interfaces,
            lambda name, _, taps: SubmodelLayer(paths[name], taps, None, name),
        )
        self.transform = TransformGraph(
            str(inputs.transform_graph / "transform_fn"),
            specification.features,
            specification.labels,
        )
        stages = [RAW for _ in specification.training.stages]
        sources = StageDataSource(
            specification,
            self.fused,
            stages,
            EmbeddedStore(stages, []),
            lambda split: RawRows(specification, self.transform, str(inputs.splits[split])),
        )
        self.data = sources.of_stage(0)

    def train(self) -> TrainingRecord:
        return train(self.specification, self.interfaces, self.fused, lambda _: self.data)

    def export(self, history: TrainingRecord, path: Path) -> None:
        export(self.specification, self.fused, self.transform, history.frozen, {}, path)

    def move(self, submodel: str, tensor: str) -> str:
        """Moves one number of a frozen tensor by one bit; returns the tensor's name."""
        variables = self.fused.submodels[submodel].frozen_variables()
        [name] = [name for name in variables if name.endswith(tensor)]
        value = np.asarray(variables[name])
        value.flat[0] = np.nextafter(value.flat[0], np.float32(9))
        variables[name].assign(value)
        return name


@pytest.fixture
def assembled(specification: Specification, shared_training_inputs: Any) -> Assembled:
    return Assembled(with_training(specification, stages=one_stage()), shared_training_inputs)


@pytest.mark.parametrize(
    ("submodel", "tensor"),
    [("vision", "conv/kernel"), ("vision", "norm/moving_mean"), ("text", "features_bias")],
)
def test_a_frozen_tensor_that_moved_in_training_fails_by_its_name(
    submodel: str, tensor: str, assembled: Assembled
) -> None:
    honest = assembled.data.train
    moved: list[str] = []

    def batches(epoch: int) -> tf.data.Dataset:
        # Called when a stage begins to read, after the digests of before were taken.
        moved.append(assembled.move(submodel, tensor))
        return honest.batches(epoch)

    assembled.data = assembled.data._replace(train=honest._replace(batches=batches))

    with pytest.raises(RunError) as caught:
        assembled.train()

    assert str(caught.value) == f"frozen tensors changed in stage head: {submodel}: {moved[0]}"


def test_a_frozen_tensor_that_moved_before_the_export_leaves_no_model_behind(
    assembled: Assembled, tmp_path: Path
) -> None:
    history = assembled.train()
    moved = assembled.move("text", "features_kernel")

    with pytest.raises(RunError) as caught:
        assembled.export(history, tmp_path / "model")

    assert str(caught.value) == f"frozen tensors changed in the exported model: text: {moved}"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_model_of_before_untouched(
    assembled: Assembled, tmp_path: Path
) -> None:
    history = assembled.train()
    assembled.export(history, tmp_path / "model")
    before = {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)}
    assembled.move("text", "features_kernel")

    with pytest.raises(RunError):
        assembled.export(history, tmp_path / "model")

    assert {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)} == before


def test_the_exported_model_is_the_trained_keras_model(
    assembled: Assembled, raw: ClientRows, tmp_path: Path
) -> None:
    history = assembled.train()
    assembled.export(history, tmp_path / "model")
    transformed = assembled.transform(raw.request())
    features = {name: transformed[name] for name in ("image", "words")}

    wanted = assembled.fused.model(features, training=False)["colour"]
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    given = loaded.signatures["serving_default"](**raw.request())["colour_probabilities"]

    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-6)


# ------------------------------------------------------- other kinds of labels and features


@pytest.fixture(scope="module")
def plain(
    prepare_training: Callable[[Specification], Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Specification, Any]:
    """No sub-models: a yes-or-no and a number to learn from numbers, and a feature to slice by."""
    folder = tmp_path_factory.mktemp("plain")
    random = np.random.default_rng(2)
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "width", "height", "region", "tall", "area"])
        for number in range(60):
            width, height = random.uniform(0, 4, 2).round(3)
            tall = "yes" if height > width else "no"
            region = ("north", "south")[number % 2]
            writer.writerow([number, width, height, region, tall, width * height])
    specification = Specification.model_validate(
        {
            "name": "plain",
            "data": {
                "path": folder / "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5},
            },
            "features": {
                "size": {
                    "type": "number", "columns": ["width", "height"], "normalize": "standard",
                },
                "region": {"type": "category", "column": "region", "classes": ["north", "south"]},
            },
            "labels": {
                "tall": {"type": "category", "column": "tall", "classes": ["no", "yes"]},
                "area": {"type": "number", "column": "area"},
            },
            "graph": {
                "hidden": {"layers": [{"Dense": {"units": 4}}], "inputs": "size"},
                "is_tall": {"layers": [{"Dense": {"units": 1}}], "inputs": "hidden"},
                "surface": {"layers": [{"Dense": {"units": 1}}], "inputs": "hidden"},
            },
            "outputs": {
                "tall": {
                    "from": "is_tall", "loss": "binary_crossentropy",
                    "metrics": ["accuracy", "auc"],
                },
                "surface": {"from": "surface", "label": "area", "loss": "mean_squared_error"},
            },
            "evaluation": {"slices": ["region"]},
            "training": {"batch_size": 16, "stages": one_stage()},
            "publish": {"path": folder / "serving"},
        }
    )  # fmt: skip
    return specification, prepare_training(specification)


@pytest.fixture(scope="module")
def plainly_trained(
    plain: tuple[Specification, Any], tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    return run(*plain, tmp_path_factory.mktemp("plainly_trained"))


SIZES = tf.constant([[1.0, 3.0], [2.5, 0.5]])


def test_a_feature_that_only_slices_use_is_not_asked_for(plainly_trained: Trained) -> None:
    _, inputs = plainly_trained.signature().structured_input_signature

    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in inputs.items()} == {
        "size": ([None, 2], tf.float32)
    }


def test_a_binary_output_answers_both_classes_and_a_number_its_value(
    plainly_trained: Trained,
) -> None:
    answer = plainly_trained.signature()(size=SIZES)

    assert {name: tuple(tensor.shape) for name, tensor in answer.items()} == {
        "tall_probabilities": (2, 2),
        "tall_classes": (2, 2),
        "surface": (2, 1),
    }
    assert answer["tall_classes"].numpy().tolist() == [[b"no", b"yes"]] * 2
    np.testing.assert_allclose(
        tf.reduce_sum(answer["tall_probabilities"], axis=1), [1, 1], rtol=0, atol=1e-6
    )


def test_for_the_evaluator_a_binary_output_is_the_chance_of_the_second_class(
    plainly_trained: Trained, plain: tuple[Specification, Any]
) -> None:
    [file] = plain[1].splits["eval"].iterdir()
    examples = tf.constant([record.numpy() for record in tf.data.TFRecordDataset(str(file))])
    sizes = [
        tf.train.Example.FromString(record).features.feature["size"].float_list.value
        for record in examples.numpy()
    ]

    predicted = plainly_trained.signature("predict_examples")(examples=examples)
    served = plainly_trained.signature()(size=tf.constant(np.array(sizes, "float32")))

    assert {name: tuple(tensor.shape) for name, tensor in predicted.items()} == {
        "tall": (20, 1),
        "surface": (20, 1),
    }
    np.testing.assert_array_equal(predicted["tall"][:, 0], served["tall_probabilities"][:, 1])
    np.testing.assert_array_equal(predicted["surface"], served["surface"])


def test_labels_of_both_kinds_come_out_by_their_own_names(
    plainly_trained: Trained, plain: tuple[Specification, Any]
) -> None:
    [file] = plain[1].splits["eval"].iterdir()
    examples = tf.constant([record.numpy() for record in tf.data.TFRecordDataset(str(file))])
    with plain[0].data.path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))[40:]

    labels = plainly_trained.signature("transform_labels")(examples=examples)

    assert set(labels) == {"tall", "area"}
    assert labels["tall"].numpy().tolist() == [["no", "yes"].index(row["tall"]) for row in rows]
    np.testing.assert_allclose(
        labels["area"][:, 0], [float(row["area"]) for row in rows], rtol=1e-6
    )


def test_numbers_are_scaled_by_what_the_training_rows_show(
    plainly_trained: Trained, plain: tuple[Specification, Any]
) -> None:
    with plain[0].data.path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:40]
    sizes = np.array([[float(row["width"]), float(row["height"])] for row in rows])
    loaded = tf.saved_model.load(str(plainly_trained.model))
    weights = {variable.name.split(":")[0]: variable.numpy() for variable in loaded.others}
    scaled = (SIZES.numpy() - sizes.mean(axis=0)) / sizes.std(axis=0)
    hidden = scaled @ weights["hidden/kernel"] + weights["hidden/bias"]
    by_hand = hidden @ weights["surface/kernel"] + weights["surface/bias"]

    given = plainly_trained.signature()(size=SIZES)["surface"]

    np.testing.assert_allclose(given, by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "learning_rate"),
    [(16, 1e25), (32, 1e15), (40, 1e30)],
    ids=["not a number", "infinite", "seen in validation alone"],
)
def test_numbers_that_grow_beyond_all_bounds_stop_the_run_wherever_they_show(
    batch_size: int, learning_rate: float, plain: tuple[Specification, Any], tmp_path: Path
) -> None:
    specification, inputs = plain
    hopeless = with_training(
        specification, batch_size=batch_size, stages=one_stage(learning_rate=learning_rate)
    )

    with pytest.raises(RunError, match=r"training\.stages\.0: in stage 'head'") as caught:
        run(hopeless, inputs, tmp_path)

    assert f"lower the learning_rate (now {learning_rate:g})" in str(caught.value)
    assert not (tmp_path / "model" / "Format-Serving").exists()


# ------------------------------------------------------------------- models that look words up


def save_reader(path: Path) -> None:
    """A pretrained model that takes text as it is: its vocabulary is no weight but an asset."""
    keras.utils.set_random_seed(4)
    entry = keras.Input((), dtype="string", name="text")
    splitting = keras.layers.TextVectorization(output_sequence_length=2, name="splitting")
    splitting.adapt(tf.constant(["very red", "very green", "rather blue"]))
    embedded = keras.layers.Embedding(9, 4, name="embedded")(splitting(entry))
    keras.Model(entry, keras.layers.Flatten(name="flat")(embedded), name="reader").save(path)


@pytest.fixture(scope="module")
def reading(
    shared_world: Path,
    prepare_training: Callable[[Specification], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Specification, Any]:
    """Text goes as it is into a pretrained model, and into a new layer that looks words up."""
    folder = tmp_path_factory.mktemp("reading")
    save_reader(folder / "reader.keras")
    lookup = {"StringLookup": {"vocabulary": ["very red", "very blue"], "output_mode": "one_hot"}}
    specification = Specification.model_validate(
        {
            "name": "reading",
            "data": {
                "path": shared_world / "data" / "rows.csv",
                "split": {"by": "id", "train": 0.5, "eval": 0.5},
            },
            "features": {"words": {"type": "text", "column": "transcript", "encoding": "string"}},
            "labels": {"colour": {"type": "category", "column": "colour", "classes": CLASSES}},
            "submodels": {"reader": {"path": folder / "reader.keras", "inputs": {"text": "words"}}},
            "graph": {
                "known": {"layers": [lookup], "inputs": "words"},
                "joined": {"merge": "concatenate", "inputs": ["reader", "known"]},
                "scores": {"layers": [{"Dense": {"units": 3}}], "inputs": "joined"},
            },
            "outputs": {"colour": {"from": "scores", "loss": "categorical_crossentropy"}},
            "training": {"batch_size": 16, "seed": 7, "stages": one_stage()},
            "publish": {"path": folder / "serving"},
        }
    )
    return specification, prepare_training(specification)


def test_vocabularies_inside_the_graph_are_exported_with_the_model(
    reading: tuple[Specification, Any], tmp_path: Path
) -> None:
    specification, inputs = reading
    [(_, path)] = specification.imported().values()
    texts = ["very red", "rather blue", "unheard of"]

    done = run(specification, inputs, tmp_path)

    given = done.signature()(words=tf.constant(texts))["colour_probabilities"]
    loaded = tf.saved_model.load(str(done.model))
    weights = {variable.name.split(":")[0]: variable.numpy() for variable in loaded.others}
    said = keras.saving.load_model(path)(tf.constant(texts))
    # Of three words known to the new layer, the first stands for all unknown ones.
    known = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0]])
    scores = np.concatenate([said, known], axis=1) @ weights["scores/kernel"]
    wanted = keras.ops.softmax(scores + weights["scores/bias"])
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-6)
