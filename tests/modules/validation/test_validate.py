"""The built graph, stages and ablation: one problem hides no other that is unrelated."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from specs import COLOUR_INTERFACES, Change, colours, numbers

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.validation.validate import ablation_problems, graph_problems, validate

HEAD = {"layers": [{"Dense": {"units": 1}}]}


def merge(*inputs: str, kind: str = "concatenate") -> dict[str, Any]:
    return {"merge": kind, "inputs": inputs}


def problems_of(specification: Specification) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        validate(specification, COLOUR_INTERFACES)
    return caught.value.problems


def test_a_valid_specification_gives_its_graph(tmp_path: Path) -> None:
    fused = validate(colours(tmp_path), COLOUR_INTERFACES)

    assert tuple(fused.model.output["colour"].shape) == (None, 3)


# The graph


def test_nodes_that_do_not_depend_on_one_another_are_all_reported(tmp_path: Path) -> None:
    given = colours(
        tmp_path,
        ("[8, 8, 3]", "[9, 9, 3]"),
        ("{tokens: words}", "{token: words}"),
        ("  joined:", "  small: {layers: [Dense: {unit: 2}], inputs: words}\n  joined:"),
        ("[vision, text]", "[vision, text, small]"),
    )

    vision, entry, unconnected, small = problems_of(given)

    assert vision.startswith("submodels.vision.inputs.image: the model expects (8, 8, 3) float32")
    assert entry.startswith("submodels.text.inputs.token: the model has no such input; did you")
    assert unconnected.startswith("submodels.text.inputs: the model's input 'tokens'")
    assert small.startswith("graph.small.layers.0.Dense.unit: ")


def test_what_depends_on_a_node_that_fails_is_not_reported(tmp_path: Path) -> None:
    given = colours(tmp_path, ("merge: concatenate", "merge: add"), ("units: 3}", "units: 4}"))

    [problem] = problems_of(given)

    assert problem.startswith("graph.joined: ")


def test_a_layer_that_cannot_be_made_is_reported_whatever_feeds_it(tmp_path: Path) -> None:
    given = colours(tmp_path, ("merge: concatenate", "merge: add"), ("units: 3}", "unit: 3}"))

    merge_problem, layer_problem = problems_of(given)

    assert merge_problem.startswith("graph.joined: ")
    assert layer_problem.startswith("graph.scores.layers.0.Dense.unit: ")


def test_an_unknown_output_of_a_submodel_hides_no_other_problem(tmp_path: Path) -> None:
    given = colours(
        tmp_path,
        ("[vision, text]", "[vision.feature, text]"),
        ("{tokens: words}", "{token: words}"),
    )

    reported = "\n".join(problems_of(given))

    for key in ("graph.joined.inputs: ", "submodels.text.inputs.token: "):
        assert key in reported


@pytest.mark.parametrize(
    "change",
    [
        ("from: scores", "from: scroes"),
        ("[vision, text]", "[vision, text, scores]"),
        ("labels:\n  colour", "labels:\n  color"),
        ("  text: {path", "  words: {path"),
        ("path: models/text, inputs", "same_as: txet, inputs"),
    ],
    ids=["unknown", "cycle", "no label", "two of a name", "same as none"],
)
def test_a_problem_of_names_hides_no_problem_of_the_graph(tmp_path: Path, change: Change) -> None:
    reported = problems_of(colours(tmp_path, change, ("[8, 8, 3]", "[9, 9, 3]")))

    assert len([text for text in reported if "the model expects (8, 8, 3)" in text]) == 1
    assert len(reported) > 1


def test_a_submodel_that_could_not_be_read_hides_no_other_problem(tmp_path: Path) -> None:
    given = colours(tmp_path, ("{tokens: words}", "{token: words}"))

    fused, problems = graph_problems(given, {"text": COLOUR_INTERFACES["text"]})

    assert fused is None
    assert [problem.key for problem in problems] == [
        "submodels.text.inputs.token",
        "submodels.text.inputs",
    ]


# Stages


def test_every_stage_reports_what_keras_refuses_and_what_is_not_there(tmp_path: Path) -> None:
    stage = "{name: head, epochs: 3, learning_rate: 1e-2}"
    written = "{name: %s, epochs: 3, learning_rate: 1e-2, %s}"
    given = colours(
        tmp_path,
        (
            stage,
            "\n    - ".join(
                [
                    written % ("a", "optimizer: Adma"),
                    written % ("b", "schedule: {ExponentialDecay: {decay: 1}}"),
                    written % ("c", "unfreeze: {vision: {last: 9}, txt: all, text: {layers: [x]}}"),
                    written % ("d", "early_stopping: {monitor: val_acuracy}"),
                ]
            ),
        ),
    )

    reported = problems_of(given)

    for start in (
        "training.stages.0.optimizer: Keras has none named 'Adma'; did you mean '",
        "training.stages.1: ",
        "training.stages.2.unfreeze.vision.last: expected at most 1 ",
        "training.stages.2.unfreeze.txt: no sub-model has this name; did you mean 'text'?",
        "training.stages.2.unfreeze.text.layers: 'x' matches no ",
        "training.stages.3.early_stopping.monitor: nothing is measured as 'val_acuracy'; "
        "did you mean 'val_accuracy'?",
    ):
        assert len([text for text in reported if text.startswith(start)]) == 1, reported
    assert len(reported) == 6


def test_a_stage_must_train_something() -> None:
    given = numbers({"y": merge("a", "b", kind="dot")}, features=("a", "b"))

    assert problems_of(given) == [
        "training.stages.0: the stage 'head' trains nothing: add new layers to the graph, or "
        "unfreeze a sub-model"
    ]


# Ablation


def ablation_problems_of(specification: Specification) -> list[str]:
    return [str(problem) for problem in ablation_problems(specification, {})]


def test_without_a_merge_there_is_nothing_to_compare() -> None:
    given = numbers({"y": {**HEAD, "inputs": "a"}}, features=("a",), evaluation={"worth": {}})

    assert ablation_problems_of(given) == [
        "evaluation.worth: of every output, no merge of several branches comes before it, so there "
        "is nothing to compare: remove 'worth'"
    ]


def test_a_margin_needs_a_merge_before_its_output() -> None:
    margin = {name: {"mean_squared_error": 0.1} for name in ("y", "z")}
    given = numbers(
        {"joined": merge("a", "b"), "y": {**HEAD, "inputs": "joined"},
         "z": {**HEAD, "inputs": "c"}},
        outputs={"y": "y", "z": "z"},
        evaluation={"worth": {"margin": margin}},
    )  # fmt: skip

    assert ablation_problems_of(given) == [
        "evaluation.worth.margin.z: no merge of several branches comes before it, so there is "
        "nothing to compare: remove it"
    ]


def test_a_branch_that_does_not_fit_the_head_alone_is_reported() -> None:
    given = numbers(
        {"y": merge("a", "b", kind="dot")}, features=("a", "b"), evaluation={"worth": {}}
    )

    assert ablation_problems_of(given) == [
        f"evaluation.worth: '{branch}' alone, in place of 'y': outputs.y.from: expected (1) for a "
        "label of type number, mean_squared_error, found (4) float32"
        for branch in ("a", "b")
    ]


def test_without_worth_nothing_is_checked() -> None:
    assert ablation_problems_of(numbers({"y": {**HEAD, "inputs": "a"}}, features=("a",))) == []


def test_layers_that_no_memory_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `units: 1000000000` would be, by weights that are counted and not made."""
    monkeypatch.setattr("tfx_fusion.modules.validation.validate.BYTES_TO_TRAIN", 1 << 50)

    problem = problems_of(colours(tmp_path))[-1]

    assert re.fullmatch(
        r"graph\.\w+: its layers have \d+ weights, which take [\d,]+ GiB to train; this machine "
        r"has \d+ GiB: make them smaller",
        problem,
    )
