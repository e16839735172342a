"""Branches by name: what joins last before an output, and the fusion with a single one."""

from __future__ import annotations

from typing import Any

from specs import check_names, numbers

from tfx_fusion.modules.graph.branches import Joint, joints_of, single_branch
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.topology import in_order

ERROR = "mean_squared_error"
HEAD = {"layers": [{"Dense": {"units": 1}}]}


def merge(*inputs: str, kind: str = "concatenate") -> dict[str, Any]:
    return {"merge": kind, "inputs": inputs}


# Which branches there are


def test_the_branches_are_the_inputs_of_the_last_merge() -> None:
    given = numbers(
        {"first": merge("a", "b"), "last": merge("first", "c"), "y": {**HEAD, "inputs": "last"}}
    )

    assert joints_of(given) == [Joint("last", ("first", "c"), ("y",))]


def test_layers_and_submodels_of_one_source_come_behind_the_branches() -> None:
    given = numbers(
        {
            "joined": merge("a", "b", "c"),
            "thin": {**HEAD, "inputs": "joined"},
            "y": {**HEAD, "inputs": "probe.out"},
        },
        submodels={"probe": {"path": "t.keras", "inputs": {"in": "thin"}}},
    )

    assert joints_of(given) == [Joint("joined", ("a", "b", "c"), ("y",))]


def test_each_output_has_the_merge_before_it() -> None:
    given = numbers(
        {
            "early": merge("a", "b"), "late": merge("early", "c"),
            "x": {**HEAD, "inputs": "early"}, "y": {**HEAD, "inputs": "late"},
            "z": {**HEAD, "inputs": "late"}, "alone": {**HEAD, "inputs": "c"},
        },
        outputs={"x": "x", "y": "y", "z": "z", "alone": "alone"},
    )  # fmt: skip

    assert joints_of(given) == [
        Joint("early", ("a", "b"), ("x",)),
        Joint("late", ("early", "c"), ("y", "z")),
    ]


def test_a_submodel_of_several_sources_is_no_merge() -> None:
    given = numbers(
        {"joined": merge("a", "b"), "y": {**HEAD, "inputs": "probe"}},
        submodels={"probe": {"path": "t.keras", "inputs": {"in": "joined", "more": "c"}}},
    )

    assert joints_of(given) == []


def test_one_thing_merged_with_itself_has_no_branches() -> None:
    given = numbers({"twice": merge("a", "a"), "y": {**HEAD, "inputs": "twice"}}, features=("a",))

    assert joints_of(given) == []


# A single branch


def test_a_single_branch_stands_in_place_of_the_merge() -> None:
    given = numbers(
        {
            "wide": {**HEAD, "inputs": "a"}, "joined": merge("wide", "b", "c"),
            "y": {**HEAD, "inputs": "joined"},
        },
        evaluation={"thresholds": {"y": {"mean_squared_error": {"max": 1}}}},
    )  # fmt: skip

    single, imported = single_branch(given, "joined", "wide")

    check_names(single)
    assert in_order(single) == ["wide", "y"]
    assert single.graph["y"].inputs == "wide"
    assert list(single.features) == ["a"]
    assert single.outputs == given.outputs
    assert imported == {}
    assert list(given.graph) == ["wide", "joined", "y"]  # as it was


def test_other_merges_that_took_the_merge_take_the_branch() -> None:
    given = numbers(
        {
            "early": merge("a", "b"), "late": merge("early", "c"),
            "x": {**HEAD, "inputs": "early"}, "y": {**HEAD, "inputs": "late"},
        },
        outputs={"x": "x", "y": "y"},
    )  # fmt: skip

    single, _ = single_branch(given, "early", "b")

    assert single.graph["late"].inputs == ("b", "c")
    assert set(single.features) == {"b", "c"}


def test_an_output_may_come_from_the_merge_itself() -> None:
    given = numbers(
        {"one": {**HEAD, "inputs": "a"}, "two": {**HEAD, "inputs": "b"},
         "y": merge("one", "two", kind="average")},
        features=("a", "b"),
    )  # fmt: skip

    single, _ = single_branch(given, "y", "two")

    assert single.outputs["y"].from_ == "two"
    check_names(single)
    assert in_order(single) == ["two"]


def test_a_single_branch_cannot_be_missing() -> None:
    features = {
        name: {"type": "number", "column": name, "missing": {"drop": 0.1}} for name in ("a", "b")
    }
    given = numbers(
        {"pair": merge("a", "b"), "joined": merge("pair", "c"), "y": {**HEAD, "inputs": "joined"}}
    )
    content = given.model_dump(mode="json")
    given = Specification.model_validate(
        {**content, "features": {**content["features"], **features}}
    )

    pair = single_branch(given, "joined", "pair").specification
    apart = single_branch(given, "pair", "a").specification
    single = single_branch(apart, "joined", "a").specification

    assert pair.features == {name: given.features[name] for name in ("a", "b")}
    assert apart.features["a"] == given.features["a"]  # `c` is there where `a` is not
    assert single.features["a"].missing is None
    check_names(single)
    assert in_order(single) == ["y"]


TWINS = {
    "left": {"path": "t.keras", "inputs": {"in": "a"}, "output": "features"},
    "right": {"same_as": "left", "inputs": {"in": "b"}},
    "third": {"same_as": "left", "inputs": {"in": "c"}},
}


def twins(*joined: str, **more: Any) -> Specification:
    graph = {
        "pair": merge("right", "third"), "joined": merge(*joined),
        "y": {**HEAD, "inputs": "joined"},
    }  # fmt: skip
    return numbers(graph, submodels=TWINS, **more)


def test_a_branch_that_shares_weights_keeps_them_without_the_one_that_owned_them() -> None:
    single, imported = single_branch(twins("left", "pair"), "joined", "pair")

    assert imported == {"right": "left"}
    assert single.submodels["right"].path == twins("left", "pair").submodels["left"].path
    assert single.submodels["right"].inputs == {"in": "b"}
    assert single.submodels["right"].output is None
    assert single.submodels["third"].same_as == "right"
    check_names(single)
    assert set(in_order(single)) == {"right", "third", "pair", "y"}


def test_stages_unfreeze_what_is_left_by_its_new_name() -> None:
    stage = {"name": "s", "epochs": 1, "learning_rate": 0.1, "unfreeze": {"left": "all"}}
    given = twins("left", "pair", training={"stages": [stage], "warm_start": "champion"})

    shared, _ = single_branch(given, "joined", "pair")

    assert list(shared.training.stages[0].unfreeze) == ["right"]
    assert shared.training.warm_start is None


def test_stages_unfreeze_nothing_that_is_gone() -> None:
    stage = {"name": "s", "epochs": 1, "learning_rate": 0.1, "unfreeze": {"probe": "all"}}
    given = numbers(
        {"joined": merge("probe", "b"), "y": {**HEAD, "inputs": "joined"}},
        submodels={"probe": {"path": "t.keras", "inputs": {"in": "a"}}},
        features=("a", "b"),
        training={"stages": [stage]},
    )

    without, _ = single_branch(given, "joined", "b")
    only, _ = single_branch(given, "joined", "probe")

    assert without.training.stages[0].unfreeze == {}
    assert list(only.training.stages[0].unfreeze) == ["probe"]
