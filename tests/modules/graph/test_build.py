"""The fused model is the model one would compose by hand in plain Keras; what cannot join is told.

The oracle calls the pretrained models and layers of Keras one after the other, with the weights of
the fused model's new layers copied over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.graph.describe import describe
from tfx_fusion.modules.spec import Evaluation, Specification, load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import SubmodelLayer

COLOURS = {"type": "category", "column": "colour", "classes": ["red", "green", "blue"]}
TWO_CLASSES = {"type": "category", "column": "kind", "classes": ["no", "yes"]}
NUMBER = {"type": "number", "column": "size"}
CROSSENTROPY = {"from": "scores", "loss": "categorical_crossentropy"}
SCORES = {"Dense": {"units": 3}}


def raw(*shape: int, dtype: str = "float32") -> dict[str, Any]:
    return {"type": "raw", "column": "any", "dtype": dtype, "shape": list(shape)}


def layers(*given: dict[str, Any] | str, inputs: str) -> dict[str, Any]:
    return {"layers": list(given), "inputs": inputs}


def specify(
    features: dict[str, Any],
    graph: dict[str, Any],
    submodels: dict[str, Any] | None = None,
    label: dict[str, Any] = COLOURS,
    output: dict[str, Any] = CROSSENTROPY,
) -> Specification:
    """A specification of one output, `answer`; the data and the training play no part here."""
    return Specification.model_validate(
        {
            "name": "built",
            "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": features,
            "labels": {"answer": label},
            "submodels": submodels or {},
            "graph": graph,
            "outputs": {"answer": output},
            "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 0.1}]},
            "publish": {"path": "serving"},
        }
    )


def interfaces_of(specification: Specification) -> dict[str, Interface]:
    return {
        name: inspect_submodel(submodel.path, submodel.signature).interface
        for name, submodel in specification.submodels.items()
    }


def fuse(specification: Specification) -> FusedModel:
    """Built from the real sub-models."""

    def open_submodel(name: str, interface: Interface, taps: list[str]) -> SubmodelLayer:
        submodel = specification.submodels[name]
        return SubmodelLayer(submodel.path, taps, submodel.signature, name)

    return build(specification, interfaces_of(specification), open_submodel)


def sketch(specification: Specification) -> FusedModel:
    """Built from the interfaces alone."""
    return build(specification, interfaces_of(specification), open_interface)


def problems_of(specification: Specification) -> list[str]:
    """What is told; a check on interfaces and a build of the real models must say the same."""
    with pytest.raises(SpecificationError) as checked:
        sketch(specification)
    with pytest.raises(SpecificationError) as built:
        fuse(specification)
    assert checked.value.problems == built.value.problems
    return checked.value.problems


def rows(*shape: int, seed: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, *shape)).astype("float32")


def save_tower(path: Path, seed: int, last: str | None = None, name: str = "tower") -> Path:
    """A small pretrained model (4) → features (6) → scores (3), as `.keras` or SavedModel."""
    keras.utils.set_random_seed(seed)
    entry = keras.Input((4,), name="entry")
    tensor = keras.layers.BatchNormalization(name="norm")(entry)
    tensor = keras.layers.Dropout(0.5, name="drop")(tensor)
    features = keras.layers.Dense(6, activation="tanh", name="features")(tensor)
    scores = keras.layers.Dense(3, activation=last, name="scores")(features)
    model = keras.Model(entry, scores, name=name)
    model.get_layer("norm").set_weights(
        [rows(4, seed=seed + step)[0] ** 2 + 0.1 for step in range(4)]
    )
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


class Towers:
    """Paths of pretrained models to fuse."""

    def __init__(self, folder: Path) -> None:
        self.left = save_tower(folder / "left.keras", seed=1)
        # The names of the model and of every layer are those of the left one.
        self.right = save_tower(folder / "right.keras", seed=2)
        self.classifier = save_tower(folder / "classifier.keras", seed=3, last="softmax")
        self.saved_model = save_tower(folder / "saved_model", seed=4, last="softmax")


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Towers:
    return Towers(tmp_path_factory.mktemp("towers"))


def submodel(path: Path, feature: str, **more: str) -> dict[str, Any]:
    return {"path": str(path), "inputs": {"entry": feature}, **more}


def pretrained(path: Path, layer: str) -> Callable[[Any], Any]:
    """By hand: the pretrained model up to a layer, in inference mode."""
    model = keras.saving.load_model(path)
    part = keras.Model(model.input, model.get_layer(layer).output)
    return lambda tensor: part(tensor, training=False)


# ----------------------------------------------------------------- the same as composed by hand


@pytest.fixture(scope="module")
def two_towers(towers: Towers) -> Specification:
    return specify(
        features={"one": raw(4), "other": raw(4)},
        submodels={
            "left": submodel(towers.left, "one", output="features"),
            "right": submodel(towers.right, "other", output="scores"),
        },
        graph={
            "joined": {"merge": "concatenate", "inputs": ["left", "right", "one"]},
            "hidden": layers({"Dense": {"units": 5, "activation": "relu"}}, inputs="joined"),
            "scores": layers(SCORES, inputs="hidden"),
        },
    )


def compose_two_towers(towers: Towers, fused: FusedModel) -> Callable[[dict[str, Any]], Any]:
    left, right = pretrained(towers.left, "features"), pretrained(towers.right, "scores")
    hidden, scores = keras.layers.Dense(5, "relu"), keras.layers.Dense(3, "softmax")
    hidden.build((None, 6 + 3 + 4))
    scores.build((None, 5))
    hidden.set_weights(fused.layers["hidden"][0].get_weights())
    scores.set_weights(fused.layers["scores"][0].get_weights())

    def by_hand(inputs: dict[str, Any]) -> Any:
        parts = [left(inputs["one"]), right(inputs["other"]), inputs["one"]]
        return scores(hidden(keras.ops.concatenate(parts, axis=-1)))

    by_hand.trainable = [*hidden.weights, *scores.weights]  # type: ignore[attr-defined]
    return by_hand


def test_the_outputs_are_those_of_the_composition_by_hand(
    towers: Towers, two_towers: Specification
) -> None:
    fused = fuse(two_towers)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    wanted = compose_two_towers(towers, fused)(inputs)

    for training in (False, True):
        given = fused.model(inputs, training=training)
        assert list(given) == ["answer"]
        np.testing.assert_allclose(given["answer"], wanted, rtol=0, atol=1e-6)


def test_what_learns_is_the_head_and_nothing_else(two_towers: Specification) -> None:
    model = fuse(two_towers).model
    hidden, scores = (6 + 3 + 4) * 5 + 5, 5 * 3 + 3
    left, right = 4 * 4 + 4 * 6 + 6, 4 * 4 + 4 * 6 + 6 + 6 * 3 + 3

    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    frozen = sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights)

    assert trainable == hidden + scores
    assert frozen == left + right


def test_the_gradients_are_those_of_the_composition_by_hand(
    towers: Towers, two_towers: Specification
) -> None:
    fused = fuse(two_towers)
    by_hand = compose_two_towers(towers, fused)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    loss = keras.losses.SparseCategoricalCrossentropy()
    answers = np.array([0, 1, 2, 1, 0])

    with tf.GradientTape(persistent=True) as tape:
        given = loss(answers, fused.model(inputs, training=True)["answer"])
        wanted = loss(answers, by_hand(inputs))
    head = [weight.value for weight in fused.model.trainable_weights]
    given_gradients = tape.gradient(given, head)
    wanted_gradients = tape.gradient(wanted, [weight.value for weight in by_hand.trainable])

    assert float(given) == pytest.approx(float(wanted), abs=1e-6)
    assert len(given_gradients) == len(wanted_gradients) == 4
    for one, other in zip(given_gradients, wanted_gradients, strict=True):
        assert np.abs(np.asarray(other)).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("merge", "by_hand"),
    [
        ("concatenate", lambda one, other: np.concatenate([one, other], axis=-1)),
        ("add", lambda one, other: one + other),
        ("multiply", lambda one, other: one * other),
        ("average", lambda one, other: (one + other) / 2),
        ("maximum", np.maximum),
    ],
)
def test_each_merge_joins_as_its_name_says(
    merge: str, by_hand: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    specification = specify(
        features={"one": raw(4), "other": raw(4)},
        graph={
            "scores": layers(SCORES, inputs="joined"),
            "joined": {"merge": merge, "inputs": ["one", "other"]},
        },
    )
    fused = fuse(specification)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}

    joined = keras.Model(fused.model.input, fused.tensors["joined"])(inputs)

    np.testing.assert_allclose(joined, by_hand(*inputs.values()), rtol=0, atol=1e-6)


def test_the_output_of_one_sub_model_feeds_the_next(towers: Towers, tmp_path: Path) -> None:
    entry = keras.Input((6,), name="entry")
    following = keras.Model(entry, keras.layers.Dense(2, activation="relu", name="pair")(entry))
    following.save(tmp_path / "following.keras")
    specification = specify(
        features={"one": raw(4)},
        submodels={
            "second": submodel(tmp_path / "following.keras", "first.features"),
            "first": submodel(towers.left, "one"),
        },
        graph={
            "joined": {"merge": "concatenate", "inputs": ["second", "first"]},
            "scores": layers(SCORES, inputs="joined"),
        },
    )
    fused = fuse(specification)
    inputs = {"one": rows(4)}
    features, scores = pretrained(towers.left, "features"), pretrained(towers.left, "scores")
    parts = [following(features(inputs["one"])), scores(inputs["one"])]
    kernel, bias = fused.layers["scores"][0].get_weights()
    wanted = keras.ops.softmax(np.concatenate(parts, axis=-1) @ kernel + bias)

    np.testing.assert_allclose(fused.model(inputs)["answer"], wanted, rtol=0, atol=1e-6)
    # The first is run once for both of its outputs.
    assert [layer.name for layer in fused.model.layers if isinstance(layer, SubmodelLayer)] == [
        "first", "second",
    ]  # fmt: skip


def test_a_sub_model_behind_a_new_layer_lets_the_gradient_through(towers: Towers) -> None:
    specification = specify(
        features={"many": raw(9)},
        submodels={"left": submodel(towers.left, "narrowed")},
        graph={
            "narrowed": layers({"Dense": {"units": 4}}, inputs="many"),
            "scores": layers(SCORES, inputs="left"),
        },
    )
    fused = fuse(specification)

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(fused.model({"many": rows(9)}, training=True)["answer"][:, 0])
    kernel = fused.layers["narrowed"][0].kernel.value

    assert np.abs(tape.gradient(total, kernel)).max() > 1e-4


def test_equal_names_inside_two_files_do_not_clash(two_towers: Specification) -> None:
    fused = fuse(two_towers)
    left, right = fused.submodels["left"], fused.submodels["right"]
    before = [np.asarray(weight) for weight in (*left.weights, *right.weights)]
    fused.model.compile("adam", {"answer": "sparse_categorical_crossentropy"})

    fused.model.fit({"one": rows(4), "other": rows(4)}, {"answer": np.zeros(5, "int64")}, verbose=0)

    assert not np.array_equal(left.weights[0], right.weights[0])
    for old, new in zip(before, (*left.weights, *right.weights), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_file_serves_under_two_names(towers: Towers) -> None:
    specification = specify(
        features={"one": raw(4), "other": raw(4)},
        submodels={
            "left": submodel(towers.left, "one"),
            "again": submodel(towers.left, "other"),
        },
        graph={
            "scores": {"merge": "add", "inputs": ["left", "again"]},
        },
        output={**CROSSENTROPY, "from_logits": True},
    )
    fused = fuse(specification)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    scores = pretrained(towers.left, "scores")

    wanted = keras.ops.softmax(scores(inputs["one"]) + scores(inputs["other"]))

    np.testing.assert_allclose(fused.model(inputs)["answer"], wanted, rtol=0, atol=1e-6)


def test_a_feature_that_only_slices_use_is_no_input_of_the_model() -> None:
    region = {"type": "category", "column": "region", "classes": ["north", "south"]}
    specification = specify(
        {"one": raw(4), "region": region}, {"scores": layers(SCORES, inputs="one")}
    ).model_copy(update={"evaluation": Evaluation(slices=("region",))})

    assert list(fuse(specification).model.input) == ["one"]


def test_a_variable_sequence_is_masked_where_it_is_padded() -> None:
    specification = specify(
        features={
            "steps": {"type": "sequence", "column": "steps", "shape": [4, 2], "variable": True}
        },
        graph={
            "last": layers({"GRU": {"units": 3}}, inputs="steps"),
            "scores": layers(SCORES, inputs="last"),
        },
    )
    fused = fuse(specification)
    short = rows(2, 2)
    padded = np.pad(short, [(0, 0), (0, 2), (0, 0)])
    recurrent, dense = fused.layers["last"][0], fused.layers["scores"][0]

    by_hand = keras.ops.softmax(dense(recurrent(short)))

    np.testing.assert_allclose(fused.model({"steps": padded})["answer"], by_hand, atol=1e-6)


@pytest.mark.parametrize(
    ("wanted_dtype", "feature"),
    [("int32", raw(4, dtype="int64")), ("float16", raw(4)), ("float64", raw(4))],
)
def test_numbers_change_their_width_to_fit_a_sub_model(
    wanted_dtype: str, feature: dict[str, Any], tmp_path: Path
) -> None:
    entry = keras.Input((4,), dtype=wanted_dtype, name="entry")
    if wanted_dtype == "int32":
        tensor = keras.layers.Flatten()(keras.layers.Embedding(9, 2)(entry))
    else:
        tensor = keras.layers.Dense(8)(entry)
    model = keras.Model(entry, tensor)
    model.save(tmp_path / "typed.keras")
    specification = specify(
        features={"one": feature},
        submodels={"typed": submodel(tmp_path / "typed.keras", "one")},
        graph={"scores": layers(SCORES, inputs="typed")},
    )
    fused = fuse(specification)
    values = np.array([[0, 1, 2, 3], [4, 5, 6, 7]], feature["dtype"])

    [tap] = [tensor for name, tensor in fused.tensors.items() if name.startswith("typed.")]

    given = keras.Model(fused.model.input, tap)({"one": values})

    np.testing.assert_allclose(given, model(values.astype(wanted_dtype)), rtol=1e-3, atol=1e-6)


# -------------------------------------------------------------------- logits or probabilities


def assert_asks_for_logits(problem: str, name: str) -> None:
    assert problem.startswith("outputs.answer.from_logits: ")
    assert f"whether '{name}' gives logits or probabilities is not known" in problem
    assert problem.endswith("write from_logits: true or false")


def prediction(fused: FusedModel, before: Any, inputs: dict[str, np.ndarray]) -> tuple[Any, Any]:
    """What an inner tensor is, and what the model answers."""
    return keras.Model(fused.model.input, [before, fused.model.output["answer"]])(inputs)


@pytest.mark.parametrize("activation", [None, "linear"])
def test_a_dense_without_activation_gives_logits_and_gets_a_softmax(
    activation: str | None,
) -> None:
    dense = {"Dense": {"units": 3, "activation": activation}}
    fused = fuse(specify({"one": raw(4)}, {"scores": layers(dense, inputs="one")}))

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    np.testing.assert_allclose(answer, keras.ops.softmax(scores), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "last", [[{"Dense": {"units": 3, "activation": "softmax"}}], [SCORES, "Softmax"],
             [SCORES, {"Activation": {"activation": "softmax"}}]],
    ids=["activation of the layer", "layer Softmax", "layer Activation"],
)  # fmt: skip
def test_probabilities_are_left_as_they_are(last: list[Any]) -> None:
    fused = fuse(specify({"one": raw(4)}, {"scores": layers(*last, inputs="one")}))

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    np.testing.assert_array_equal(answer, scores)
    np.testing.assert_allclose(np.sum(answer, axis=1), np.ones(5), rtol=0, atol=1e-6)


def test_a_sub_model_that_ends_in_softmax_answers_as_it_does_alone(towers: Towers) -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            graph={},
            submodels={"alone": submodel(towers.classifier, "one")},
            output={"from": "alone", "loss": "categorical_crossentropy"},
        )
    )

    wanted = pretrained(towers.classifier, "scores")(rows(4))

    np.testing.assert_allclose(fused.model({"one": rows(4)})["answer"], wanted, rtol=0, atol=1e-6)


def test_a_sub_model_that_ends_in_logits_gets_a_softmax(towers: Towers) -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            graph={},
            submodels={"alone": submodel(towers.left, "one")},
            output={"from": "alone", "loss": "categorical_crossentropy"},
        )
    )

    wanted = keras.ops.softmax(pretrained(towers.left, "scores")(rows(4)))

    np.testing.assert_allclose(fused.model({"one": rows(4)})["answer"], wanted, rtol=0, atol=1e-6)


def from_savedmodel(towers: Towers, **more: Any) -> Specification:
    return specify(
        {"one": raw(4)},
        graph={},
        submodels={"alone": submodel(towers.saved_model, "one")},
        output={"from": "alone", "loss": "categorical_crossentropy", **more},
    )


def test_a_savedmodel_as_the_last_node_must_be_told_whether_it_gives_logits(
    towers: Towers,
) -> None:
    assert problems_of(from_savedmodel(towers)) == [
        "outputs.answer.from_logits: whether 'alone' gives logits or probabilities is not known: "
        "write from_logits: true or false"
    ]


@pytest.mark.parametrize("from_logits", [True, False])
def test_what_is_stated_about_logits_is_believed(from_logits: bool, towers: Towers) -> None:
    fused = fuse(from_savedmodel(towers, from_logits=from_logits))
    loaded = tf.saved_model.load(str(towers.saved_model))
    [alone] = loaded.signatures["serving_default"](entry=tf.constant(rows(4))).values()
    wanted = keras.ops.softmax(alone) if from_logits else alone

    np.testing.assert_allclose(fused.model({"one": rows(4)})["answer"], wanted, rtol=0, atol=1e-6)


def averaged(towers: Towers, **more: Any) -> Specification:
    return specify(
        {"one": raw(4), "other": raw(4)},
        graph={"scores": {"merge": "average", "inputs": ["first", "second"]}},
        submodels={
            "first": submodel(towers.classifier, "one"),
            "second": submodel(towers.classifier, "other"),
        },
        output={**CROSSENTROPY, **more},
    )


def test_averaged_probabilities_are_not_squeezed_through_a_softmax_again(towers: Towers) -> None:
    fused = fuse(averaged(towers, from_logits=False))
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    scores = pretrained(towers.classifier, "scores")

    wanted = (scores(inputs["one"]) + scores(inputs["other"])) / 2

    np.testing.assert_allclose(fused.model(inputs)["answer"], wanted, rtol=0, atol=1e-6)


def test_a_merge_as_the_last_node_must_be_told_whether_it_gives_logits(towers: Towers) -> None:
    [problem] = problems_of(averaged(towers))

    assert_asks_for_logits(problem, "scores")


def test_a_layer_that_does_not_tell_what_it_gives_needs_it_stated() -> None:
    last = [{"Dense": {"units": 3, "activation": "softmax"}}, {"Dropout": {"rate": 0.5}}]
    graph = {"scores": layers(*last, inputs="one")}

    [problem] = problems_of(specify({"one": raw(4)}, graph))

    assert_asks_for_logits(problem, "scores")


def test_a_binary_output_is_one_probability() -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            {"scores": layers({"Dense": {"units": 1}}, inputs="one")},
            label=TWO_CLASSES,
            output={"from": "scores", "loss": "binary_crossentropy"},
        )
    )

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    assert answer.shape == (5, 1)
    np.testing.assert_allclose(answer, keras.ops.sigmoid(scores), rtol=0, atol=1e-6)


def test_a_binary_output_that_ends_in_sigmoid_is_left_as_it_is() -> None:
    dense = {"Dense": {"units": 1, "activation": "sigmoid"}}
    fused = fuse(
        specify(
            {"one": raw(4)},
            {"scores": layers(dense, inputs="one")},
            label=TWO_CLASSES,
            output={"from": "scores", "loss": "binary_crossentropy"},
        )
    )

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    np.testing.assert_array_equal(answer, scores)


def test_a_number_leaves_as_it_is() -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            {"scores": layers({"Dense": {"units": 1}}, inputs="one")},
            label=NUMBER,
            output={"from": "scores", "loss": "mean_squared_error"},
        )
    )

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    assert answer.shape == (5, 1)
    np.testing.assert_array_equal(answer, scores)


def test_predictions_leave_in_float32_whatever_the_layers_compute_in() -> None:
    dense = {"Dense": {"units": 3, "dtype": "float16"}}
    fused = fuse(specify({"one": raw(4)}, {"scores": layers(dense, inputs="one")}))

    assert fused.tensors["scores"].dtype == "float16"
    assert fused.model.output["answer"].dtype == "float32"


# ------------------------------------------------------------- what does not join is refused


def with_left(towers: Towers, feature: dict[str, Any] | None = None, **more: Any) -> Specification:
    reference = more.pop("reference", "left")
    return specify(
        {"one": feature or raw(4)},
        {"scores": layers(SCORES, inputs=reference)},
        submodels={"left": {**submodel(towers.left, "one"), **more}},
    )


def test_an_unknown_input_of_a_sub_model_is_told_with_the_one_left_open(towers: Towers) -> None:
    assert problems_of(with_left(towers, inputs={"entri": "one"})) == [
        "submodels.left.inputs.entri: the model has no such input; did you mean 'entry'?",
        "submodels.left.inputs: the model's input 'entry' (4) float32 is not connected",
    ]


def test_an_input_too_many_is_told(towers: Towers) -> None:
    assert problems_of(with_left(towers, inputs={"entry": "one", "mask": "one"})) == [
        "submodels.left.inputs.mask: the model has no such input; known: entry"
    ]


def test_an_unknown_output_gets_a_suggestion(towers: Towers) -> None:
    assert problems_of(with_left(towers, output="feature")) == [
        "submodels.left.output: the model has no output or inner layer 'feature'; "
        "did you mean 'features'?"
    ]


def test_an_unknown_output_in_a_reference_is_told_where_it_stands(towers: Towers) -> None:
    assert problems_of(with_left(towers, reference="left.feature")) == [
        "graph.scores.inputs: the model has no output or inner layer 'feature'; "
        "did you mean 'features'?"
    ]


def test_a_savedmodel_has_outputs_but_no_inner_layers(towers: Towers) -> None:
    [problem] = problems_of(
        specify(
            {"one": raw(4)},
            {"scores": layers(SCORES, inputs="alone")},
            submodels={"alone": submodel(towers.saved_model, "one", output="features")},
        )
    )

    assert problem == (
        "submodels.alone.output: the model has no output 'features'; known: output_0"
    )


def test_of_several_outputs_one_must_be_named(shared_world: Path) -> None:
    text = {"path": str(shared_world / "models" / "text"), "inputs": {"tokens": "one"}}

    assert problems_of(
        specify(
            {"one": raw(6)}, {"scores": layers(SCORES, inputs="text")}, submodels={"text": text}
        )
    ) == [
        "submodels.text.output: the model has the outputs features, probabilities: name one here, "
        "or write 'text.OUTPUT' in graph.scores.inputs"
    ]


@pytest.mark.parametrize(
    ("feature", "found"),
    [
        (raw(5), "(5) float32"),
        (raw(), "() float32"),
        (raw(2, 4), "(2, 4) float32"),
        (raw(4, dtype="int64"), "(4) int64"),
        (raw(4, dtype="string"), "(4) string"),
        ({"type": "text", "column": "words", "encoding": "string"}, "() string"),
    ],
    ids=["size", "scalar", "rank", "whole numbers", "strings", "text"],
)
def test_what_does_not_fit_a_sub_models_input_is_told_with_both_shapes(
    feature: dict[str, Any], found: str, towers: Towers
) -> None:
    assert problems_of(with_left(towers, feature)) == [
        f"submodels.left.inputs.entry: the model expects (4) float32, 'one' is {found}"
    ]


@pytest.mark.parametrize("merge", ["add", "multiply", "average", "maximum"])
@pytest.mark.parametrize("other", [(6,), (1,), (), (2, 4)], ids=str)
def test_a_merge_of_unequal_shapes_is_refused_with_both(merge: str, other: tuple[int, ...]) -> None:
    [problem] = problems_of(
        specify(
            {"one": raw(4), "other": raw(*other)},
            {
                "joined": {"merge": merge, "inputs": ["one", "other"]},
                "scores": layers("Flatten", SCORES, inputs="joined"),
            },
        )
    )

    sizes = ", ".join(map(str, other))
    assert problem.startswith(
        f"graph.joined: {merge} cannot join one (4) float32, other ({sizes}) float32"
    )


def test_a_concatenation_of_different_ranks_is_refused_with_both_shapes() -> None:
    [problem] = problems_of(
        specify(
            {"one": raw(4), "other": raw(2, 4)},
            {
                "joined": {"merge": "concatenate", "inputs": ["one", "other"]},
                "scores": layers(SCORES, inputs="joined"),
            },
        )
    )

    assert problem.startswith(
        "graph.joined: concatenate cannot join one (4) float32, other (2, 4) float32: "
    )


@pytest.mark.parametrize("merge", ["concatenate", "add", "multiply", "average", "maximum"])
def test_a_merge_of_numbers_and_strings_is_refused(merge: str) -> None:
    [problem] = problems_of(
        specify(
            {"one": raw(4), "words": raw(4, dtype="string")},
            {
                "joined": {"merge": merge, "inputs": ["one", "words"]},
                "scores": layers(SCORES, inputs="joined"),
            },
        )
    )

    assert problem.startswith(
        f"graph.joined: {merge} cannot join one (4) float32, words (4) string"
    )


def test_a_string_into_a_dense_layer_is_refused() -> None:
    [problem] = problems_of(
        specify({"words": raw(4, dtype="string")}, {"scores": layers(SCORES, inputs="words")})
    )

    assert problem.startswith("graph.scores.layers.0.Dense: it does not fit its input (4) string: ")


def graph_of(*given: dict[str, Any] | str) -> Specification:
    return specify({"one": raw(4)}, {"scores": layers(*given, inputs="one")})


def test_an_unknown_layer_gets_a_suggestion() -> None:
    assert problems_of(graph_of({"Dence": {"units": 3}})) == [
        "graph.scores.layers.0.Dence: Keras has no layer of this name for use here; "
        "did you mean 'Dense'?"
    ]


def test_a_lambda_layer_is_refused_because_it_holds_code() -> None:
    [problem] = problems_of(graph_of({"Lambda": {"function": "print"}}))

    assert problem.startswith("graph.scores.layers.0.Lambda: ")
    assert "code" in problem


@pytest.mark.parametrize("name", ["TFSMLayer", "TorchModuleWrapper", "Layer", "InputLayer"])
def test_layers_that_load_files_or_code_are_unknown_here(name: str) -> None:
    [problem] = problems_of(graph_of({name: {}}))

    assert problem.startswith(
        f"graph.scores.layers.0.{name}: Keras has no layer of this name for use here; "
    )


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"units": -3}, "expected a positive integer"),
        ({"units": 3, "activation": "softmaks"}, "softmaks"),
        ({}, "units"),
    ],
    ids=["value", "activation", "missing"],
)
def test_a_bad_config_is_told_with_the_layers_place(config: dict[str, Any], told: str) -> None:
    [problem] = problems_of(graph_of("Flatten", {"Dense": config}))

    assert problem.startswith("graph.scores.layers.1.Dense: ")
    assert told in problem


def test_an_unknown_key_of_a_layer_gets_a_suggestion() -> None:
    [problem] = problems_of(graph_of({"Dense": {"unit": 3}}))

    assert problem.startswith("graph.scores.layers.0.Dense.unit: unknown key")
    assert "did you mean 'units'?" in problem


def test_a_layer_that_does_not_fit_its_input_is_told_with_the_shape() -> None:
    [problem] = problems_of(graph_of({"Conv2D": {"filters": 3, "kernel_size": 2}}))

    assert problem.startswith(
        "graph.scores.layers.0.Conv2D: it does not fit its input (4) float32: "
    )
    assert "expected min_ndim=4, found ndim=2" in problem


def test_the_cause_is_told_when_keras_wraps_it() -> None:
    [problem] = problems_of(graph_of({"Reshape": {"target_shape": [5]}}))

    assert problem.startswith("graph.scores.layers.0.Reshape: it does not fit its input (4)")
    # Keras's own first line says only "Exception encountered when calling Reshape.call()."
    assert "total size of the tensor must be unchanged" in problem.lower()
    assert "\x1b" not in problem


def test_a_layer_that_gives_several_tensors_is_refused() -> None:
    recurrent = {"GRU": {"units": 3, "return_state": True}}

    [problem] = problems_of(
        specify({"steps": raw(5, 2)}, {"scores": layers(recurrent, inputs="steps")})
    )

    assert problem == (
        "graph.scores.layers.0.GRU: it gives several tensors for (5, 2) float32, one is needed"
    )


@pytest.mark.parametrize(
    ("label", "loss", "units", "told"),
    [
        (COLOURS, "categorical_crossentropy", 4, "expected (3) for 3 classes, found (4) float32"),
        (TWO_CLASSES, "categorical_crossentropy", 1,
         "expected (2) for 2 classes, found (1) float32"),
        (TWO_CLASSES, "binary_crossentropy", 2,
         "expected (1) for binary_crossentropy, found (2) float32"),
        (NUMBER, "mean_squared_error", 2,
         "expected (1) for a label of type number, mean_squared_error, found (2) float32"),
    ],
)  # fmt: skip
def test_a_number_of_units_that_does_not_fit_the_label_is_told(
    label: dict[str, Any], loss: str, units: int, told: str
) -> None:
    specification = specify(
        {"one": raw(4)},
        {"scores": layers({"Dense": {"units": units}}, inputs="one")},
        label=label,
        output={"from": "scores", "loss": loss},
    )

    assert problems_of(specification) == [f"outputs.answer.from: {told}"]


def test_a_binary_crossentropy_wants_two_classes() -> None:
    specification = specify(
        {"one": raw(4)},
        {"scores": layers({"Dense": {"units": 1}}, inputs="one")},
        output={"from": "scores", "loss": "binary_crossentropy"},
    )

    assert problems_of(specification) == [
        "outputs.answer.loss: binary_crossentropy needs a label of two classes, found 3: "
        "use categorical_crossentropy"
    ]


def from_feature(**more: Any) -> Specification:
    guess = {"type": "category", "column": "guess", "classes": ["red", "green", "blue"]}
    return specify(
        {"guess": guess}, {}, output={"from": "guess", "loss": CROSSENTROPY["loss"], **more}
    )


def test_a_feature_can_be_the_output_but_must_be_told_whether_it_gives_logits() -> None:
    assert fuse(from_feature(from_logits=False)).model.output["answer"].shape == (None, 3)
    [problem] = problems_of(from_feature())
    assert_asks_for_logits(problem, "guess")


# ------------------------------------------------------------------- a check is what is built


def test_a_check_on_interfaces_sees_the_same_graph_as_a_build(two_towers: Specification) -> None:
    interfaces = interfaces_of(two_towers)

    checked = describe(two_towers, interfaces, sketch(two_towers))
    built = describe(two_towers, interfaces, fuse(two_towers))

    assert checked == built


def test_the_shared_world_is_checked_as_it_is_built(shared_world: Path) -> None:
    specification = load_specification(shared_world / "fusion.yaml")
    interfaces = interfaces_of(specification)

    checked, built = sketch(specification), fuse(specification)

    assert describe(specification, interfaces, checked) == describe(
        specification, interfaces, built
    )
    assert {name: tensor.shape for name, tensor in checked.tensors.items()} == {
        name: tensor.shape for name, tensor in built.tensors.items()
    }
    assert sum(int(np.prod(weight.shape)) for weight in built.model.trainable_weights) == (
        10 * 8 + 8 + 8 * 3 + 3
    )
