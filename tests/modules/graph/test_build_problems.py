"""What does not join is refused, with its key, what was expected and what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from towers import SCORES, Towers, layers, problems_of, raw, sketch, specify, submodel

from tfx_fusion.modules.spec import Specification


def with_left(towers: Towers, feature: dict[str, Any] | None = None, **more: Any) -> Specification:
    reference = more.pop("reference", "left")
    return specify(
        {"one": feature or raw(4)},
        {"scores": layers(SCORES, inputs=reference)},
        submodels={"left": {**submodel(towers.left, "one"), **more}},
    )


def test_an_unknown_input_of_a_sub_model_is_reported_with_the_one_left_open(towers: Towers) -> None:
    assert problems_of(with_left(towers, inputs={"entri": "one"})) == [
        "submodels.left.inputs.entri: the model has no such input; did you mean 'entry'?",
        "submodels.left.inputs: the model's input 'entry' (4) float32 is not connected",
    ]


def test_an_input_too_many_is_reported(towers: Towers) -> None:
    assert problems_of(with_left(towers, inputs={"entry": "one", "mask": "one"})) == [
        "submodels.left.inputs.mask: the model has no such input; known: entry"
    ]


def test_an_unknown_output_gets_a_suggestion(towers: Towers) -> None:
    assert problems_of(with_left(towers, output="feature")) == [
        "submodels.left.output: the model has no output or inner layer 'feature'; "
        "did you mean 'features'?"
    ]


def test_an_unknown_output_in_a_reference_is_reported_where_it_stands(towers: Towers) -> None:
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
def test_what_does_not_fit_a_sub_models_input_is_reported_with_both_shapes(
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


@pytest.mark.parametrize("name", ["Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer"])
def test_a_layer_that_holds_code_is_refused(name: str) -> None:
    inner = {"class_name": name, "config": {"function": "print"}}

    assert problems_of(graph_of({name: {}})) == [
        f"graph.scores.layers.0.{name}: a {name} layer holds code, and a specification holds none: "
        "use another layer"
    ]
    [problem] = problems_of(graph_of({"TimeDistributed": {"layer": inner}}))
    assert f"a {name} layer holds code" in problem


def test_a_layer_that_opens_a_file_is_refused() -> None:
    assert problems_of(graph_of({"StringLookup": {"vocabulary": "/etc/passwd"}})) == [
        "graph.scores.layers.0.StringLookup: it names a file to open (vocabulary: /etc/passwd): "
        "expected the words themselves"
    ]


def test_a_function_of_keras_that_is_no_part_of_a_model_is_refused() -> None:
    plot = {"module": "keras.utils", "class_name": "function", "config": "plot_model"}

    [problem] = problems_of(graph_of({"Activation": {"activation": plot}}))

    assert problem.startswith("graph.scores.layers.0.Activation: it names keras.utils.plot_model, ")


@pytest.mark.parametrize("name", ["Layer", "InputLayer", "Wrapper"])
def test_layers_that_make_no_sense_in_a_graph_are_unknown_here(name: str) -> None:
    [problem] = problems_of(graph_of({name: {}}))

    assert problem.startswith(
        f"graph.scores.layers.0.{name}: Keras has no layer of this name for use here; "
    )


@pytest.mark.parametrize(
    ("config", "reported"),
    [
        ({"units": -3}, "expected a positive integer"),
        ({"units": 3, "activation": "softmaks"}, "softmaks"),
        ({}, "units"),
    ],
    ids=["value", "activation", "missing"],
)
def test_a_bad_config_is_reported_with_the_layers_place(
    config: dict[str, Any], reported: str
) -> None:
    [problem] = problems_of(graph_of("Flatten", {"Dense": config}))

    assert problem.startswith("graph.scores.layers.1.Dense: ")
    assert reported in problem


def test_an_unknown_key_of_a_layer_gets_a_suggestion() -> None:
    [problem] = problems_of(graph_of({"Dense": {"unit": 3}}))

    assert problem.startswith("graph.scores.layers.0.Dense.unit: unknown key")
    assert "did you mean 'units'?" in problem


def test_a_layer_that_does_not_fit_its_input_is_reported_with_the_shape() -> None:
    [problem] = problems_of(graph_of({"Conv2D": {"filters": 3, "kernel_size": 2}}))

    assert problem.startswith(
        "graph.scores.layers.0.Conv2D: it does not fit its input (4) float32: "
    )
    assert "expected min_ndim=4, found ndim=2" in problem


def test_the_cause_is_shown_when_keras_wraps_it() -> None:
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


def test_problems_that_do_not_follow_from_another_are_reported_together(towers: Towers) -> None:
    specification = specify(
        features={"one": raw(4), "other": raw(5)},
        submodels={
            "left": submodel(towers.left, "one", output="feature"),
            "right": submodel(towers.right, "other"),
        },
        graph={
            "joined": {"merge": "add", "inputs": ["left", "right"]},
            "wide": layers({"Dence": {"units": 3}}, inputs="one"),
            "wider": layers({"Dense": {"units": -1}}, inputs="wide"),
            "apart": {"merge": "add", "inputs": ["one", "other"]},
            "scores": {"merge": "concatenate", "inputs": ["joined", "wider", "apart"]},
        },
    )

    problems = problems_of(specification)

    assert sorted(problem.split(": ")[0] for problem in problems) == [
        "graph.apart",
        "graph.wide.layers.0.Dence",
        "submodels.left.output",
        "submodels.right.inputs.entry",
    ]


def test_every_input_of_a_sub_model_that_does_not_fit_is_reported(tmp_path: Path) -> None:
    entries = [keras.Input((2,), name="a"), keras.Input((3,), name="b")]
    keras.Model(entries, keras.layers.Concatenate()(entries)).save(tmp_path / "two.keras")
    two = {"path": str(tmp_path / "two.keras"), "inputs": {"a": "one", "b": "one"}}

    problems = problems_of(
        specify({"one": raw(4)}, {"scores": layers(SCORES, inputs="two")}, submodels={"two": two})
    )

    assert problems == [
        "submodels.two.inputs.a: the model expects (2) float32, 'one' is (4) float32",
        "submodels.two.inputs.b: the model expects (3) float32, 'one' is (4) float32",
    ]


class _Encoder(tf.Module):
    """A mean, and what is drawn around it: as a variational autoencoder's encoder has them."""

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="entry")])
    def encode(self, entry: Any) -> dict[str, Any]:
        return {"mean": 2 * entry, "drawn": entry + tf.random.normal((4,))}


def test_an_output_that_is_drawn_in_inference_too_is_refused_and_others_are_not(
    tmp_path: Path,
) -> None:
    module = _Encoder()
    tf.saved_model.save(module, str(tmp_path / "encoder"), signatures=module.encode)

    def taking(output: str) -> Specification:
        encoder = submodel(tmp_path / "encoder", "one", output=output)
        nodes = {"scores": layers(SCORES, inputs="encoder")}
        return specify({"one": raw(4)}, nodes, submodels={"encoder": encoder})

    assert sketch(taking("mean")).model
    [problem] = problems_of(taking("drawn"))
    assert problem.startswith(
        "graph.scores.inputs: the output 'drawn' of encoder differs from call to call for the same"
    )
