"""Which steps run again when a key of the specification changes, and which need not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from specs import COLOURS, Change, changed

pytestmark = pytest.mark.component

# The small specification with a feature that rows may lack, and with every optional section.
TEXT = changed(
    COLOURS,
    (
        "labels:\n",
        "  size: {type: number, column: size, normalize: standard, missing: allowed}\nlabels:\n",
    ),
    ("[vision, text]", "[vision, text, size]"),
    ("evaluation:\n", "evaluation:\n  worth: {}\n"),
    (
        "publish: {path: serving}\n",
        "publish: {path: serving, keep: 3}\n"
        "card: {intended_use: sorting}\n"
        "serving: {max_p99_ms: 50}\n"
        "beam: {runner: in_memory}\n"
        "tuning: {search: {training.stages.0.learning_rate: {min: 1e-3, max: 1e-1}}}\n"
        "kubeflow: {image: fusion}\n",
    ),
)

HEAD = {"Train", "Worth", "Evaluate", "ServingCheck"}
EMBEDDINGS = {"Embed", *HEAD}
ROWS = {"Rows", "Statistics", "DataChecks", "DataGate", "Transform", *EMBEDDINGS}
CHAMPION = {"Champion", "DataGate", "Evaluate"}
NOTHING: set[str] = set()

# By key, a change and the steps that run again. Publish is left out: it runs in every run.
TABLE: dict[str, tuple[Change, set[str]]] = {
    "name": (("name: colours", "name: colors"), HEAD),
    "data.path": (("rows.csv", "others.csv"), ROWS),
    "data.split": (("train: 0.7, eval: 0.3", "train: 0.6, eval: 0.4"), ROWS),
    "data.max_rejected": (("  split:", "  max_rejected: 0.2\n  split:"), ROWS),
    "data.checks": (("  split:", "  checks: {max_drift: 0.2}\n  split:"), {"DataGate"}),
    "features.size.column": (("column: size", "column: width"), ROWS | CHAMPION),
    "features.image.range": (("[8, 8, 3]", "[8, 8, 3], range: [-1, 1]"), ROWS | CHAMPION),
    "features.size.normalize": (("standard", "min_max"), ROWS | CHAMPION),
    "features.size.missing": (("normalize: standard, missing: allowed", "normalize: standard"),
                              ROWS | CHAMPION),
    "features.size.missing.drop": (("missing: allowed", "missing: {drop: 0.2}"), HEAD | CHAMPION),
    "features.size.missing.replace": (
        ("missing: allowed", "missing: {replace: zeros}"), HEAD | CHAMPION,
    ),
    "labels.colour.column": (("column: colour", "column: color"), ROWS | CHAMPION),
    "labels.colour.row_weights": (
        ("column: colour", "column: colour, row_weights: w"), ROWS | CHAMPION,
    ),
    "submodels.vision.path": (("vision.keras", "other.keras"), {"Import-vision", *EMBEDDINGS}),
    "submodels.vision.origin": (
        ("output: features}\n  text", "output: features, origin: a shop}\n  text"),
        {"Import-vision", *EMBEDDINGS},
    ),
    "submodels.vision.output": (
        ("output: features}\n  text", "output: probabilities}\n  text"), EMBEDDINGS,
    ),
    "submodels.vision.licence": (
        ("output: features}\n  text", "output: features, licence: MIT}\n  text"), NOTHING,
    ),
    "graph.joined.inputs": (("[vision, text, size]", "[text, vision, size]"), EMBEDDINGS),
    "graph.hidden.layers": (("units: 8", "units: 9"), HEAD),
    "outputs.colour.weight": (("from: scores", "from: scores, weight: 2"), HEAD),
    "outputs.colour.metrics": (("metrics: [accuracy]", "metrics: [accuracy, log_loss]"), HEAD),
    "training.batch_size": (("batch_size: 16", "batch_size: 8"), HEAD),
    "training.precision": (("  seed:", "  precision: mixed_bfloat16\n  seed:"), HEAD),
    "training.warm_start": (("  seed:", "  warm_start: champion\n  seed:"), HEAD),
    "training.embed_once": (("  seed:", "  embed_once: false\n  seed:"), HEAD),
    "training.stages.0.epochs": (("epochs: 3", "epochs: 4"), HEAD),
    "training.stages.0.unfreeze": (
        ("epochs: 3", "epochs: 3, unfreeze: {vision: {last: 1}}"), EMBEDDINGS,
    ),
    "evaluation.slices": (("evaluation:\n", "evaluation:\n  slices: [colour]\n"), {"Evaluate"}),
    "evaluation.thresholds": (("min: 0.2", "min: 0.3"), {"Evaluate"}),
    "evaluation.slice_thresholds": (
        ("evaluation:\n", "evaluation:\n  slice_thresholds: [{slice: colour, thresholds: "
                          "{colour: {accuracy: {min: 0.1}}}}]\n"),
        {"Evaluate"},
    ),
    "evaluation.confidence": (
        ("evaluation:\n", "evaluation:\n  confidence: 0.9\n"), {"Worth", "Evaluate"},
    ),
    "evaluation.worth.margin": (
        ("worth: {}", "worth: {margin: {colour: {accuracy: 0.1}}}"), {"Evaluate"},
    ),
    "serving": (("max_p99_ms: 50", "max_p99_ms: 40"), {"ServingCheck"}),
    "publish.path": (("path: serving", "path: elsewhere"), CHAMPION),
    "publish.keep": (("keep: 3", "keep: 2"), NOTHING),
    "tuning": (("max: 1e-1", "max: 1"), NOTHING),
    "card": (("intended_use: sorting", "intended_use: counting"), NOTHING),
    "beam": (("runner: in_memory", "runner: multi_process"), NOTHING),
    "kubeflow": (("image: fusion", "image: other"), NOTHING),
}  # fmt: skip

# By step, its parameters and the steps whose outputs it reads; each step after those.
Steps = dict[str, tuple[dict[str, Any], set[str]]]


@pytest.fixture(scope="module")
def steps_of(
    copy_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Steps]:
    """The steps of the pipeline for the specification above with pieces of its text replaced."""
    from tfx_fusion.modules.registry.version_record import Provenance
    from tfx_fusion.modules.spec import load_specification
    from tfx_fusion.pipeline.pipeline import Seen, create_steps
    from tfx_fusion.pipeline.prepare import Prepared, prepare
    from tfx_fusion.pipeline.run import stage_plans

    file = copy_world(tmp_path_factory.mktemp("views") / "world") / "fusion.yaml"
    file.write_text(TEXT)
    whole = prepare(file, lambda _: None)

    def steps(*changes: Change) -> Steps:
        file.write_text(changed(TEXT, *changes))
        prepared = Prepared(load_specification(file), whole.inspections)
        nodes = create_steps(
            prepared.specification,
            Provenance.of(prepared.specification, whole.inspections, "digest", "20261123-041501"),
            whole.inspections,
            stage_plans(prepared),
            Seen("digest", "3 d1"),
            "state",
        )
        return {
            node.id: (
                dict(node.exec_properties),
                {channel.producer_component_id for channel in node.inputs.values()},
            )
            for node in nodes
            if node.id != "Publish"
        }

    return steps


def run_again(before: Steps, after: Steps) -> set[str]:
    """The steps of which TFX's cache knows no such parameters, or not with such inputs."""
    again: set[str] = set()
    for name, (parameters, sources) in after.items():
        if name not in before or parameters != before[name][0] or sources & again:
            again.add(name)
    return again


@pytest.mark.parametrize("key", TABLE)
def test_a_changed_key_runs_these_steps_again_and_no_others(
    key: str, steps_of: Callable[..., Steps]
) -> None:
    change, expected = TABLE[key]

    assert run_again(steps_of(), steps_of(change)) == expected


def test_every_section_of_a_specification_is_in_the_table() -> None:
    from tfx_fusion.modules.spec import Specification

    assert {key.partition(".")[0] for key in TABLE} == set(Specification.model_fields)
