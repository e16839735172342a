"""What each stage learns from and why, and what makes embeddings anew."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import pytest

from tfx_fusion.modules.embedding.plan import SAME_IN_TRAINING, StagePlan, _varies, distinct_plans
from tfx_fusion.modules.graph.layers import NOT_FOR_GRAPHS
from tfx_fusion.modules.submodels.interface import Interface

VISION = "path: vision.keras, inputs: {pixels: image}"
HEAD = "head: {layers: [Dense: {units: 1}], inputs: %s}"
TWO_STAGES = (
    "[{name: head, epochs: 1, learning_rate: 0.1},"
    " {name: fine, epochs: 1, learning_rate: 0.1, unfreeze: {%s: %s}}]"
)

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
def test_what_is_random_or_trained_before_a_backbone_needs_raw_data(
    specify: Any, why: Any, layer: str
) -> None:
    given = specify(
        "{vision: {path: vision.keras, inputs: {pixels: varied}, output: features}}",
        f"{{varied: {{layers: [{layer}], inputs: image}}, {HEAD % 'vision'}}}",
    )
    assert why(given) == (
        "raw data: what is trained or drawn at random comes before every frozen sub-model"
    )


@pytest.mark.parametrize("layer", ["Resizing: {height: 8, width: 8}", "CenterCrop: {height: 8, "
                                   "width: 8}", "Rescaling: {scale: 0.5}"])  # fmt: skip
def test_image_layers_that_are_the_same_in_training_do_not(
    specify: Any, plan: Any, layer: str
) -> None:
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
    assert _varies(keras.layers.RandomFlip())
    assert not _varies(keras.layers.Resizing(4, 4))


def test_without_sub_models_there_is_nothing_to_embed(specify: Any, why: Any) -> None:
    assert why(specify("{}", f"{{{HEAD % 'age'}}}")) == "raw data: no sub-model"


def test_embed_once_false_asks_for_raw_data_throughout(specify: Any, why: Any) -> None:
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


def test_a_stage_that_unfreezes_the_only_backbone_learns_from_raw_data(
    specify: Any, plans: Any
) -> None:
    first, second = plans(specify(*ALONE, TWO_STAGES % ("vision", "all")))

    assert first.plan is not None
    assert (second.plan, str(second)) == (None, "raw data: every sub-model is trained by then")


def test_a_stage_that_unfreezes_one_of_two_embeds_the_other_and_says_what_runs_live(
    specify: Any, plans: Any
) -> None:
    first, second = plans(specify(*TWO, TWO_STAGES % ("vision", "all")))

    assert first.plan is not None
    assert first.plan.embeddings == ("vision.features", "other.features")
    assert first.live == ()
    assert second.plan is not None
    assert second.plan.embeddings == ("other.features",)
    assert second.plan.passed == ("image",)
    assert second.live == ("vision",)
    assert str(second) == (
        "embeddings of other.features; vision computed in every epoch; image decoded on the fly"
    )
    assert len(distinct_plans([first, second])) == 2


def test_unfreezing_a_sub_model_takes_its_twins_and_all_that_it_feeds_along(
    specify: Any, plans: Any, vector: Any
) -> None:
    submodels = (
        f"{{vision: {{{VISION}, output: features}}, "
        "twin: {same_as: vision, inputs: {pixels: photo}, output: features}, "
        "top: {path: top.keras, inputs: {vector: vision}}, "
        "other: {path: other.keras, inputs: {pixels: photo}, output: score}}"
    )
    graph = f"{{joined: {{merge: concatenate, inputs: [top, twin, other]}}, {HEAD % 'joined'}}}"
    _, second = plans(specify(submodels, graph, TWO_STAGES % ("vision", "all")), top=vector(6))

    assert second.plan is not None
    assert second.plan.embeddings == ("other.score",)
    assert second.live == ("vision", "twin", "top")


@pytest.mark.parametrize(
    ("unfreeze", "below"),
    [("{last: 1}", "conv"), ("{layers: [features]}", "conv"), ("all", None)],
)
def test_what_lies_below_the_layers_that_a_stage_trains_is_embedded(
    specify: Any, plans: Any, unfreeze: str, below: str | None
) -> None:
    first, second = plans(specify(*ALONE, TWO_STAGES % ("vision", unfreeze)))

    assert first.live == ()
    if below is None:
        assert second.plan is None
        return
    assert second.plan is not None
    assert second.plan.embeddings == (f"vision.{below}",)
    assert second.plan.cuts == {"vision": (below,)}
    assert second.live == ("vision",)
    assert (
        str(second) == f"embeddings of vision.{below}; the rest of vision computed in every epoch"
    )


def test_a_sub_model_used_twice_or_a_saved_model_is_not_cut(
    specify: Any, plans: Any, image: Interface
) -> None:
    twin = "twin: {same_as: vision, inputs: {pixels: photo}, output: features}"
    twice = (
        f"{{vision: {{{VISION}, output: features}}, {twin}}}",
        f"{{joined: {{merge: concatenate, inputs: [vision, twin]}}, {HEAD % 'joined'}}}",
    )
    _, second = plans(specify(*twice, TWO_STAGES % ("vision", "{last: 1}")))
    assert second.plan is None

    closed = image.model_copy(update={"format": "saved_model", "cuts": {}})
    scored = ALONE[0].replace("features", "score")
    stages = TWO_STAGES % ("vision", "{last: 1}")
    _, second = plans(specify(scored, ALONE[1], stages), vision=closed)
    assert second.plan is None


def test_layers_that_several_stages_trained_count_together(specify: Any, plans: Any) -> None:
    stages = (
        "[{name: one, epochs: 1, learning_rate: 0.1, unfreeze: {vision: {layers: [conv]}}},"
        " {name: two, epochs: 1, learning_rate: 0.1, unfreeze: {vision: {last: 1}}}]"
    )
    assert [stage.plan for stage in plans(specify(*ALONE, stages))] == [None, None]


def test_what_an_earlier_stage_trained_is_never_taken_as_imported_again(
    specify: Any, plans: Any
) -> None:
    stages = (
        "[{name: all, epochs: 1, learning_rate: 0.1, unfreeze: {vision: all}},"
        " {name: head, epochs: 1, learning_rate: 0.1}]"
    )
    assert [stage.plan for stage in plans(specify(*ALONE, stages))] == [None, None]

    first, second = plans(specify(*TWO, stages))
    assert first.plan == second.plan
    assert first.plan is not None
    assert first.plan.embeddings == ("other.features",)


def test_a_warm_start_takes_nothing_that_any_stage_trains_as_imported(
    specify: Any, plans: Any, plan: Any
) -> None:
    given = specify(*TWO, TWO_STAGES % ("vision", "all"), warm_start="champion")

    first, second = plans(given)

    assert first.plan == second.plan
    assert first.plan is not None
    assert first.plan.embeddings == ("other.features",)
    # What no stage trains stays as it was imported, champion or not.
    assert plan(specify(*ALONE, warm_start="champion")).embeddings == ("vision.features",)


# --------------------------------------------------------------- what embeddings are keyed by


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
def test_a_changed_head_or_training_reuses_embeddings(
    specify: Any, plan: Any, graph: str, training: Any
) -> None:
    changed = plan(specify(ALONE[0], f"{{{graph}}}", **training))

    assert changed.model_dump_json() == plan(specify(*ALONE)).model_dump_json()


@pytest.mark.parametrize(
    "changed",
    [
        (f"{{vision: {{{VISION}, output: score}}}}", ALONE[1]),
        (ALONE[0].replace("vision.keras", "newer.keras"), ALONE[1]),
        (ALONE[0].replace("pixels: image", "pixels: photo"), ALONE[1]),
        (
            ALONE[0],
            f"{{joined: {{merge: concatenate, inputs: [vision, age]}}, {HEAD % 'joined'}}}",
        ),
    ],
    ids=["cut", "file", "input", "feature passed on"],
)
def test_another_cut_or_input_makes_other_embeddings(
    specify: Any, plan: Any, changed: tuple[str, str]
) -> None:
    assert plan(specify(*changed)).model_dump_json() != plan(specify(*ALONE)).model_dump_json()


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_precision_counts_where_layers_are_embedded_with_the_backbone(
    specify: Any, plan: Any, precision: str
) -> None:
    found = plan(
        specify(
            f"{{vision: {{{VISION}, output: conv}}}}",
            f"{{pooled: {{layers: [GlobalAveragePooling2D], inputs: vision}}, {HEAD % 'pooled'}}}",
            precision=precision,
        )
    )
    assert found.precision == precision


def test_a_plan_survives_json(specify: Any, plans: Any) -> None:
    [stage] = plans(specify(*TWO))
    again = StagePlan.model_validate_json(stage.model_dump_json())

    assert again == stage
