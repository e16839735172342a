"""The frontier of a stage: told from the graph, the interfaces, and what stages unfreeze."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import keras
import pytest
from ruamel.yaml import YAML

from modules.embedding.plan import (
    SAME_IN_TRAINING,
    EmbeddingPlan,
    StagePlan,
    _moves,
    distinct_plans,
    plan_stages,
    values_per_row,
)
from modules.fusion.build import build, open_interface
from modules.fusion.layers import NOT_FOR_GRAPHS
from modules.spec import Specification
from modules.submodels.interface import Interface, LayerInfo, OutputInfo, TensorInfo

FEATURES = """
  image: {type: image, column: image, shape: [8, 8, 3]}
  photo: {type: image, column: photo, shape: [8, 8, 3]}
  sound: {type: sequence, column: sound, shape: [5, 2], variable: true}
  age: {type: number, column: age}
  title: {type: text, column: title, encoding: string}
"""
VISION = "path: vision.keras, inputs: {pixels: image}"
HEAD = "head: {layers: [Dense: {units: 1}], inputs: %s}"
STAGES = "[{name: head, epochs: 1, learning_rate: 0.1}]"
TWO_STAGES = (
    "[{name: head, epochs: 1, learning_rate: 0.1},"
    " {name: fine, epochs: 1, learning_rate: 0.1, unfreeze: {%s: {last: 1}}}]"
)


def image_network() -> Interface:
    """From pixels to a map of features, a vector, and a number."""
    return Interface(
        format="keras",
        inputs={"pixels": TensorInfo(shape=(8, 8, 3), dtype="float32")},
        outputs={"score": OutputInfo(shape=(1,), dtype="float32", layer="score")},
        cuts={
            "map": OutputInfo(shape=(4, 4, 6), dtype="float32", layer="conv"),
            "features": OutputInfo(shape=(6,), dtype="float32", layer="features"),
        },
        layers={
            "conv": LayerInfo(weights={"conv": 10}),
            "features": LayerInfo(inputs=("conv",), weights={"features": 10}),
            "score": LayerInfo(inputs=("features",), weights={"score": 7}),
        },
        parameters=27,
    )


def vector_network(width: int) -> Interface:
    """From a vector to another."""
    return Interface(
        format="keras",
        inputs={"vector": TensorInfo(shape=(width,), dtype="float32")},
        outputs={"out": OutputInfo(shape=(3,), dtype="float32", layer="out")},
        layers={"out": LayerInfo(weights={"out": 9})},
        parameters=9,
    )


def sequence_network() -> Interface:
    """From steps to as many steps."""
    return Interface(
        format="keras",
        inputs={"steps": TensorInfo(shape=(None, 2), dtype="float32")},
        outputs={"read": OutputInfo(shape=(None, 4), dtype="float32", layer="read")},
        layers={"read": LayerInfo(weights={"read": 9})},
        parameters=9,
    )


def specify(submodels: str, graph: str, stages: str = STAGES, **training: Any) -> Specification:
    """A specification of one number to learn, with the features that something uses."""
    outputs = training.pop("outputs", "{y: {from: head, loss: mean_squared_error}}")
    tree = YAML(typ="safe", pure=True).load(
        f"""
name: shapes
data: {{path: rows.csv, split: {{by: id, train: 0.5, eval: 0.5}}}}
features: {{}}
labels: {{y: {{type: number, column: y}}}}
submodels: {submodels}
graph: {graph}
outputs: {outputs}
training: {{stages: {stages}}}
publish: {{path: serving}}
"""
    )
    features = YAML(typ="safe", pure=True).load(FEATURES)
    used = f"{submodels} {graph} {outputs}"
    tree["features"] = {
        name: it for name, it in features.items() if re.search(rf"\b{name}\b", used)
    }
    tree["training"].update(training)
    return Specification.model_validate(tree, context={"folder": Path("/world")})


def plans(specification: Specification, **interfaces: Interface) -> list[StagePlan]:
    """What each stage learns from; `vision` and `other` are image networks unless given."""
    known = {"vision": image_network(), "other": image_network(), **interfaces}
    fused = build(specification, known, open_interface)
    return plan_stages(specification, fused)


def plan(specification: Specification, **interfaces: Interface) -> EmbeddingPlan:
    """The plan of the only stage."""
    [stage] = plans(specification, **interfaces)
    assert stage.plan is not None, stage.why
    return stage.plan


def why(specification: Specification, **interfaces: Interface) -> str:
    """Why the only stage learns from raw data."""
    [stage] = plans(specification, **interfaces)
    assert stage.plan is None
    return stage.why


# ------------------------------------------------------------------------------- the frontier


def test_a_backbone_with_a_head_is_embedded_at_its_output() -> None:
    found = plan(specify(f"{{vision: {{{VISION}, output: features}}}}", f"{{{HEAD % 'vision'}}}"))

    assert found.embeddings == ("vision.features",)
    assert found.passed == ()
    assert set(found.submodels) == {"vision"}
    assert found.graph == {}


def test_every_output_that_is_consumed_is_an_embedding_once() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}}}}}",
            "{joined: {merge: concatenate, inputs: [vision.features, vision.score]}, "
            "again: {merge: concatenate, inputs: [joined, vision.features]}, "
            f"{HEAD % 'again'}}}",
        )
    )
    assert sorted(found.embeddings) == ["vision.features", "vision.score"]


def test_several_backbones_behind_a_merge_are_embedded_each_by_itself() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}, "
            "other: {path: other.keras, inputs: {pixels: photo}, output: score}}",
            f"{{joined: {{merge: concatenate, inputs: [vision, other, age]}}, {HEAD % 'joined'}}}",
        )
    )
    assert found.embeddings == ("vision.features", "other.score")
    assert found.passed == ("age",)
    assert found.graph == {}


def test_of_sub_models_fed_by_one_another_the_last_alone_is_embedded() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}, "
            "top: {path: top.keras, inputs: {vector: vision}}}",
            f"{{{HEAD % 'top'}}}",
        ),
        top=vector_network(6),
    )
    assert found.embeddings == ("top.out",)
    assert set(found.submodels) == {"vision", "top"}


def test_both_are_embedded_where_the_head_reads_both() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}, "
            "top: {path: top.keras, inputs: {vector: vision}}}",
            f"{{joined: {{merge: concatenate, inputs: [top, vision]}}, {HEAD % 'joined'}}}",
        ),
        top=vector_network(6),
    )
    assert found.embeddings == ("top.out", "vision.features")


def test_twins_are_embedded_each_and_bring_the_sub_model_whose_weights_they_use() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}, "
            "twin: {same_as: vision, inputs: {pixels: photo}, output: features}}",
            f"{{joined: {{merge: concatenate, inputs: [vision, twin]}}, {HEAD % 'joined'}}}",
        )
    )
    assert found.embeddings == ("vision.features", "twin.features")
    assert set(found.imported()) == {"vision"}


def test_an_output_straight_on_a_sub_model_is_an_embedding_too() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}}}",
            f"{{{HEAD % 'vision'}}}",
            outputs="{y: {from: head, loss: mean_squared_error}, "
            "z: {from: vision.score, loss: huber, label: y}}",
        )
    )
    assert found.embeddings == ("vision.features", "vision.score")


def test_layers_between_the_data_and_a_backbone_belong_to_it() -> None:
    found = plan(
        specify(
            "{vision: {path: vision.keras, inputs: {pixels: scaled}, output: features}}",
            "{scaled: {layers: [Rescaling: {scale: 2.0}], inputs: image}, "
            f"{HEAD % 'vision'}}}",
        )
    )
    assert found.embeddings == ("vision.features",)
    assert set(found.graph) == {"scaled"}
    assert found.passed == ()


@pytest.mark.parametrize(
    ("pooling", "embedding", "kept"),
    [
        ("[GlobalAveragePooling2D]", "pooled", {"pooled"}),
        ("[MaxPooling2D, Flatten]", "pooled", {"pooled"}),
        ("[Flatten]", "vision.map", set()),  # as many values: the sub-model's own are kept
        ("[GlobalAveragePooling2D, Dense: {units: 2}]", "vision.map", set()),
        ("[GlobalAveragePooling2D, Dropout: {rate: 0.5}]", "vision.map", set()),
        (
            "[ActivityRegularization: {l2: 0.1}, GlobalAveragePooling2D]",
            "vision.map",
            set(),
        ),
    ],
)
def test_layers_behind_a_backbone_are_embedded_where_they_make_the_values_fewer(
    pooling: str, embedding: str, kept: set[str]
) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: map}}}}",
            f"{{pooled: {{layers: {pooling}, inputs: vision}}, {HEAD % 'pooled'}}}",
        )
    )
    assert found.embeddings == (embedding,)
    assert set(found.graph) == kept


def test_of_layers_behind_one_another_the_one_with_the_fewest_values_is_embedded() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: map}}}}",
            "{small: {layers: [MaxPooling2D], inputs: vision}, "
            "smaller: {layers: [GlobalMaxPooling2D], inputs: small}, "
            "wide: {layers: [RepeatVector: {n: 9}], inputs: smaller}, "
            "flat: {layers: [Flatten], inputs: wide}, "
            f"{HEAD % 'flat'}}}",
        )
    )
    assert found.embeddings == ("smaller",)
    assert set(found.graph) == {"small", "smaller"}


def test_layers_that_read_features_alone_are_left_to_the_head() -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}}}",
            "{pooled: {layers: [GlobalAveragePooling2D], inputs: photo}, "
            f"joined: {{merge: concatenate, inputs: [vision, pooled]}}, {HEAD % 'joined'}}}",
        )
    )
    assert found.embeddings == ("vision.features",)
    assert found.passed == ("photo",)


def test_a_feature_is_passed_on_where_the_head_reads_it_beside_the_backbone() -> None:
    both = "{merge: concatenate, inputs: [vision, flat]}"
    [stage] = plans(
        specify(
            f"{{vision: {{{VISION}, output: features}}}}",
            f"{{flat: {{layers: [Flatten], inputs: image}}, joined: {both}, {HEAD % 'joined'}}}",
        )
    )
    assert stage.plan is not None
    assert stage.plan.passed == ("image",)
    assert stage.why == "embeddings of vision.features; image decoded on the fly"


def test_layers_that_read_steps_of_any_number_are_never_embedded() -> None:
    found = plan(
        specify(
            "{ear: {path: ear.keras, inputs: {steps: sound}}}",
            f"{{pooled: {{layers: [GlobalMaxPooling1D], inputs: ear}}, {HEAD % 'pooled'}}}",
        ),
        ear=sequence_network(),
    )
    assert found.embeddings == ("ear.read",)


def test_a_frozen_sub_model_behind_trained_layers_is_not_embedded_but_its_neighbour_is() -> None:
    specification = specify(
        f"{{vision: {{{VISION}, output: features}}, "
        "top: {path: top.keras, inputs: {vector: adapted}}}",
        "{adapted: {layers: [Dense: {units: 2}], inputs: vision}, "
        f"joined: {{merge: concatenate, inputs: [top, age]}}, {HEAD % 'joined'}}}",
    )
    found = plan(specification, top=vector_network(2))

    assert found.embeddings == ("vision.features",)
    assert found.passed == ("age",)
    assert set(found.submodels) == {"vision"}


def test_a_twin_behind_trained_layers_is_not_embedded_and_the_plan_holds_nothing_of_the_head() -> (
    None
):
    graph = (
        "{adapted: {layers: [Conv2D: {filters: 3, kernel_size: %s, padding: same}], "
        "inputs: image}, joined: {merge: concatenate, inputs: [vision, twin]}, "
        f"{HEAD % 'joined'}}}"
    )
    submodels = (
        "{vision: {path: vision.keras, inputs: {pixels: adapted}, output: features}, "
        "twin: {same_as: vision, inputs: {pixels: photo}, output: features}}"
    )
    found = plan(specify(submodels, graph % 3))

    assert found.embeddings == ("twin.features",)
    assert found.graph == {}
    assert found == plan(specify(submodels, graph % 5))


# ---------------------------------------------------------------------------- raw data, and why


@pytest.mark.parametrize(
    "layer",
    [
        "RandomFlip",
        "RandomZoom: {height_factor: 0.1}",
        "GaussianNoise: {stddev: 0.1}",
        "Dropout: {rate: 0.1}",
        "Conv2D: {filters: 3, kernel_size: 1}",
    ],
)
def test_what_is_random_or_trained_before_a_backbone_needs_raw_data(layer: str) -> None:
    given = specify(
        "{vision: {path: vision.keras, inputs: {pixels: varied}, output: features}}",
        f"{{varied: {{layers: [{layer}], inputs: image}}, {HEAD % 'vision'}}}",
    )
    assert why(given) == (
        "raw data: what is trained or drawn at random comes before every frozen sub-model"
    )


@pytest.mark.parametrize("layer", ["Resizing: {height: 8, width: 8}", "CenterCrop: {height: 8, "
                                   "width: 8}", "Rescaling: {scale: 0.5}"])  # fmt: skip
def test_image_layers_that_are_the_same_in_training_do_not(layer: str) -> None:
    given = specify(
        "{vision: {path: vision.keras, inputs: {pixels: fitted}, output: features}}",
        f"{{fitted: {{layers: [{layer}], inputs: image}}, {HEAD % 'vision'}}}",
    )
    assert plan(given).embeddings == ("vision.features",)


def test_every_layer_of_keras_that_draws_at_random_counts_as_random() -> None:
    drawing = [
        kind
        for name, kind in vars(keras.layers).items()
        if isinstance(kind, type)
        and name not in NOT_FOR_GRAPHS
        and not name.endswith("Cell")
        and "seed" in inspect.signature(kind).parameters
    ]
    assert {keras.layers.RandomFlip, keras.layers.Dropout, keras.layers.MixUp} <= set(drawing)
    for kind in drawing:  # what Keras notes of a layer when it is made
        assert "training" in inspect.signature(kind.call).parameters, kind
        assert not issubclass(kind, SAME_IN_TRAINING)
    assert _moves(keras.layers.RandomFlip())
    assert not _moves(keras.layers.Resizing(4, 4))


def test_without_sub_models_there_is_nothing_to_embed() -> None:
    assert why(specify("{}", f"{{{HEAD % 'age'}}}")) == "raw data: no sub-model"


def test_embed_once_false_asks_for_raw_data_throughout() -> None:
    given = specify(
        f"{{vision: {{{VISION}, output: features}}}}",
        f"{{{HEAD % 'vision'}}}",
        embed_once=False,
    )
    assert why(given) == "raw data: training.embed_once is false"


# ------------------------------------------------------------------------------------- stages


ALONE = (f"{{vision: {{{VISION}, output: features}}}}", f"{{{HEAD % 'vision'}}}")
TWO = (
    f"{{vision: {{{VISION}, output: features}}, "
    "other: {path: other.keras, inputs: {pixels: photo}, output: features}}",
    f"{{joined: {{merge: concatenate, inputs: [vision, other]}}, {HEAD % 'joined'}}}",
)


def test_a_stage_that_unfreezes_the_only_backbone_learns_from_raw_data() -> None:
    first, second = plans(specify(*ALONE, TWO_STAGES % "vision"))

    assert first.plan is not None
    assert (second.plan, second.why) == (None, "raw data: every sub-model is trained by then")


def test_a_stage_that_unfreezes_one_of_two_embeds_the_other_and_says_what_runs_live() -> None:
    first, second = plans(specify(*TWO, TWO_STAGES % "vision"))

    assert first.plan is not None
    assert first.plan.embeddings == ("vision.features", "other.features")
    assert first.live == ()
    assert second.plan is not None
    assert second.plan.embeddings == ("other.features",)
    assert second.plan.passed == ("image",)
    assert second.live == ("vision",)
    assert second.why == (
        "embeddings of other.features; vision computed in every epoch; image decoded on the fly"
    )
    assert len(distinct_plans([first, second])) == 2


def test_unfreezing_a_sub_model_takes_its_twins_and_all_that_it_feeds_along() -> None:
    submodels = (
        f"{{vision: {{{VISION}, output: features}}, "
        "twin: {same_as: vision, inputs: {pixels: photo}, output: features}, "
        "top: {path: top.keras, inputs: {vector: vision}}, "
        "other: {path: other.keras, inputs: {pixels: photo}, output: score}}"
    )
    graph = f"{{joined: {{merge: concatenate, inputs: [top, twin, other]}}, {HEAD % 'joined'}}}"
    _, second = plans(specify(submodels, graph, TWO_STAGES % "vision"), top=vector_network(6))

    assert second.plan is not None
    assert second.plan.embeddings == ("other.score",)
    assert second.live == ("vision", "twin", "top")


def test_what_an_earlier_stage_trained_is_never_taken_as_imported_again() -> None:
    stages = (
        "[{name: all, epochs: 1, learning_rate: 0.1, unfreeze: {vision: all}},"
        " {name: head, epochs: 1, learning_rate: 0.1}]"
    )
    assert [stage.plan for stage in plans(specify(*ALONE, stages))] == [None, None]

    first, second = plans(specify(*TWO, stages))
    assert first.plan == second.plan
    assert first.plan is not None
    assert first.plan.embeddings == ("other.features",)


def test_a_warm_start_takes_nothing_that_any_stage_trains_as_imported() -> None:
    given = specify(*TWO, TWO_STAGES % "vision", warm_start="champion")

    first, second = plans(given)

    assert first.plan == second.plan
    assert first.plan is not None
    assert first.plan.embeddings == ("other.features",)
    # What no stage trains stays as it was imported, champion or not.
    assert plan(specify(*ALONE, warm_start="champion")).embeddings == ("vision.features",)


# --------------------------------------------------------------- what embeddings are keyed by


def key(specification: Specification) -> str:
    return plan(specification).model_dump_json()


@pytest.mark.parametrize(
    ("graph", "training"),
    [
        ("head: {layers: [Dense: {units: 4}, Dense: {units: 1}], inputs: vision}", {}),
        (
            "joined: {merge: concatenate, inputs: [vision.features, vision]}, "
            "head: {layers: [Dense: {units: 1}], inputs: joined}",
            {},
        ),
        (HEAD % "vision", {"batch_size": 3, "seed": 9}),
        (HEAD % "vision", {"precision": "mixed_bfloat16"}),
        (HEAD % "vision", {"warm_start": "champion"}),
        (
            HEAD % "vision",
            {"stages": [{"name": "other", "epochs": 9, "learning_rate": 0.5}]},
        ),
    ],
    ids=["layers", "merge", "batch size and seed", "precision", "warm start", "stages"],
)
def test_a_changed_head_or_training_reuses_embeddings(graph: str, training: Any) -> None:
    before = specify(*ALONE)

    assert key(specify(ALONE[0], f"{{{graph}}}", **training)) == key(before)


@pytest.mark.parametrize(
    "changed",
    [
        specify(f"{{vision: {{{VISION}, output: score}}}}", ALONE[1]),
        specify(ALONE[0].replace("vision.keras", "newer.keras"), ALONE[1]),
        specify(ALONE[0].replace("pixels: image", "pixels: photo"), ALONE[1]),
        specify(
            ALONE[0],
            f"{{joined: {{merge: concatenate, inputs: [vision, age]}}, {HEAD % 'joined'}}}",
        ),
    ],
    ids=["cut", "file", "input", "feature passed on"],
)
def test_another_cut_or_input_makes_other_embeddings(changed: Specification) -> None:
    assert key(changed) != key(specify(*ALONE))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_precision_counts_where_layers_are_embedded_with_the_backbone(precision: str) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: map}}}}",
            f"{{pooled: {{layers: [GlobalAveragePooling2D], inputs: vision}}, {HEAD % 'pooled'}}}",
            precision=precision,
        )
    )
    assert found.precision == precision


def test_a_plan_survives_json() -> None:
    [stage] = plans(specify(*TWO))
    again = StagePlan.model_validate_json(stage.model_dump_json())

    assert again == stage


@pytest.mark.parametrize(
    ("shape", "values"), [((None,), 1), ((None, 3, 4), 12), ((None, None, 4), None)]
)
def test_values_are_counted_by_row(shape: tuple[int | None, ...], values: int | None) -> None:
    assert values_per_row(keras.KerasTensor(shape)) == values
