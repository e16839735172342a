"""The frontier of a stage, from the graph and the interfaces."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from tfx_fusion.modules.embedding.plan import values_per_row
from tfx_fusion.modules.spec import Missing

VISION = "path: vision.keras, inputs: {pixels: image}"
HEAD = "head: {layers: [Dense: {units: 1}], inputs: %s}"


# ------------------------------------------------------------------------------- the frontier


def test_a_backbone_with_a_head_is_embedded_at_its_output(specify: Any, plan: Any) -> None:
    found = plan(specify(f"{{vision: {{{VISION}, output: features}}}}", f"{{{HEAD % 'vision'}}}"))

    assert found.embeddings == ("vision.features",)
    assert found.passed == ()
    assert set(found.submodels) == {"vision"}
    assert found.graph == {}


def test_every_output_that_is_consumed_is_an_embedding_once(specify: Any, plan: Any) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}}}}}",
            "{joined: {merge: concatenate, inputs: [vision.features, vision.score]}, "
            "again: {merge: concatenate, inputs: [joined, vision.features]}, "
            f"{HEAD % 'again'}}}",
        )
    )
    assert sorted(found.embeddings) == ["vision.features", "vision.score"]


def test_several_backbones_behind_a_merge_are_embedded_each_by_itself(
    specify: Any, plan: Any
) -> None:
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


def test_of_sub_models_fed_by_one_another_only_the_last_is_embedded(
    specify: Any, plan: Any, vector: Any
) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}, "
            "top: {path: top.keras, inputs: {vector: vision}}}",
            f"{{{HEAD % 'top'}}}",
        ),
        top=vector(6),
    )
    assert found.embeddings == ("top.out",)
    assert set(found.submodels) == {"vision", "top"}


def test_both_are_embedded_where_the_head_reads_both(specify: Any, plan: Any, vector: Any) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}, "
            "top: {path: top.keras, inputs: {vector: vision}}}",
            f"{{joined: {{merge: concatenate, inputs: [top, vision]}}, {HEAD % 'joined'}}}",
        ),
        top=vector(6),
    )
    assert found.embeddings == ("top.out", "vision.features")


def test_twins_are_embedded_each_and_bring_the_sub_model_whose_weights_they_use(
    specify: Any, plan: Any
) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}, "
            "twin: {same_as: vision, inputs: {pixels: photo}, output: features}}",
            f"{{joined: {{merge: concatenate, inputs: [vision, twin]}}, {HEAD % 'joined'}}}",
        )
    )
    assert found.embeddings == ("vision.features", "twin.features")
    assert set(found.imported()) == {"vision"}


def test_an_output_straight_on_a_sub_model_is_an_embedding_too(specify: Any, plan: Any) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}}}",
            f"{{{HEAD % 'vision'}}}",
            outputs="{y: {from: head, loss: mean_squared_error}, "
            "z: {from: vision.score, loss: huber, label: y}}",
        )
    )
    assert found.embeddings == ("vision.features", "vision.score")


def test_layers_between_the_data_and_a_backbone_belong_to_it(specify: Any, plan: Any) -> None:
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
    ("pooling", "embedding", "nodes"),
    [
        ("[GlobalAveragePooling2D]", "pooled", {"pooled"}),
        ("[MaxPooling2D, Flatten]", "pooled", {"pooled"}),
        ("[Flatten]", "vision.conv", set()),  # as many values: the sub-model's own are embedded
        ("[GlobalAveragePooling2D, Dense: {units: 2}]", "vision.conv", set()),
        ("[GlobalAveragePooling2D, Dropout: {rate: 0.5}]", "vision.conv", set()),
        (
            "[ActivityRegularization: {l2: 0.1}, GlobalAveragePooling2D]",
            "vision.conv",
            set(),
        ),
    ],
)
def test_layers_behind_a_backbone_are_embedded_where_they_make_the_values_fewer(
    specify: Any, plan: Any, pooling: str, embedding: str, nodes: set[str]
) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: conv}}}}",
            f"{{pooled: {{layers: {pooling}, inputs: vision}}, {HEAD % 'pooled'}}}",
        )
    )
    assert found.embeddings == (embedding,)
    assert set(found.graph) == nodes


def test_of_layers_behind_one_another_the_one_with_the_fewest_values_is_embedded(
    specify: Any, plan: Any
) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: conv}}}}",
            "{small: {layers: [MaxPooling2D], inputs: vision}, "
            "smaller: {layers: [GlobalMaxPooling2D], inputs: small}, "
            "wide: {layers: [RepeatVector: {n: 9}], inputs: smaller}, "
            "flat: {layers: [Flatten], inputs: wide}, "
            f"{HEAD % 'flat'}}}",
        )
    )
    assert found.embeddings == ("smaller",)
    assert set(found.graph) == {"small", "smaller"}


def test_layers_that_read_only_features_are_left_to_the_head(specify: Any, plan: Any) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: features}}}}",
            "{pooled: {layers: [GlobalAveragePooling2D], inputs: photo}, "
            f"joined: {{merge: concatenate, inputs: [vision, pooled]}}, {HEAD % 'joined'}}}",
        )
    )
    assert found.embeddings == ("vision.features",)
    assert found.passed == ("photo",)


def test_a_feature_is_passed_on_where_the_head_reads_it_beside_the_backbone(
    specify: Any, plans: Any
) -> None:
    both = "{merge: concatenate, inputs: [vision, flat]}"
    [stage] = plans(
        specify(
            f"{{vision: {{{VISION}, output: features}}}}",
            f"{{flat: {{layers: [Flatten], inputs: image}}, joined: {both}, {HEAD % 'joined'}}}",
        )
    )
    assert stage.plan is not None
    assert stage.plan.passed == ("image",)
    assert str(stage) == "embeddings of vision.features; image decoded on the fly"


@pytest.mark.parametrize(
    ("graph", "passed"),
    [
        (f"{{{HEAD % 'vision'}}}", ("image.missing",)),
        (
            "{flat: {layers: [Flatten], inputs: photo}, "
            f"joined: {{merge: concatenate, inputs: [vision, flat]}}, {HEAD % 'joined'}}}",
            ("photo", "image.missing", "photo.missing"),
        ),
    ],
    ids=["alone", "joined"],
)
def test_which_rows_lack_a_feature_is_passed_on_wherever_the_head_makes_up_for_it(
    specify: Any, plan: Any, graph: str, passed: tuple[str, ...]
) -> None:
    given = specify(f"{{vision: {{{VISION}, output: features}}}}", graph)
    features = {name: f.changed(missing=Missing()) for name, f in given.features.items()}

    assert plan(given.changed(features=features)).passed == passed


def test_layers_that_read_steps_of_any_number_are_never_embedded(
    specify: Any, plan: Any, sequence: Any
) -> None:
    found = plan(
        specify(
            "{ear: {path: ear.keras, inputs: {steps: sound}}}",
            f"{{pooled: {{layers: [GlobalMaxPooling1D], inputs: ear}}, {HEAD % 'pooled'}}}",
        ),
        ear=sequence,
    )
    assert found.embeddings == ("ear.read",)


def test_a_frozen_sub_model_behind_trained_layers_is_not_embedded_but_its_neighbour_is(
    specify: Any, plan: Any, vector: Any
) -> None:
    specification = specify(
        f"{{vision: {{{VISION}, output: features}}, "
        "top: {path: top.keras, inputs: {vector: adapted}}}",
        "{adapted: {layers: [Dense: {units: 2}], inputs: vision}, "
        f"joined: {{merge: concatenate, inputs: [top, age]}}, {HEAD % 'joined'}}}",
    )
    found = plan(specification, top=vector(2))

    assert found.embeddings == ("vision.features",)
    assert found.passed == ("age",)
    assert set(found.submodels) == {"vision"}


def test_a_twin_behind_trained_layers_is_not_embedded_and_the_plan_holds_nothing_of_the_head(
    specify: Any, plan: Any
) -> None:
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


@pytest.mark.parametrize(
    ("shape", "values"), [((None,), 1), ((None, 3, 4), 12), ((None, None, 4), None)]
)
def test_values_are_counted_by_row(shape: tuple[int | None, ...], values: int | None) -> None:
    assert values_per_row(keras.KerasTensor(shape)) == values
