"""The exported model for other kinds of labels and features than those of the shared world."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_runs import Trained, one_stage, run, with_training

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification

pytestmark = pytest.mark.component

CLASSES = ["red", "green", "blue"]


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
