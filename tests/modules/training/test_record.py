"""The training record, and its text: stages, proof and warm start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.spec import Specification, Training, load_specification
from tfx_fusion.modules.training.frozen_proof import FrozenPart, all_frozen
from tfx_fusion.modules.training.record import (
    TrainingRecord,
    WarmStart,
    read_record,
    write_record,
)
from tfx_fusion.modules.training.record_text import record_text

STAGES: list[dict[str, Any]] = [
    {"name": "head", "epochs": 5, "learning_rate": 1e-3, "early_stopping": {"patience": 1}},
    {
        "name": "fine",
        "epochs": 1,
        "learning_rate": 1e-4,
        "unfreeze": {"vision": {"last": 2, "learning_rate": 1e-6}, "text": "all"},
        "optimizer": {"AdamW": {"weight_decay": 0.01}},
        "schedule": {"CosineDecay": {"decay_steps": 12}},
        "clip_norm": 1.5,
    },
]
DONE: list[dict[str, Any]] = [
    {
        "name": "head",
        "seconds": 3.21,
        "unfrozen": {},
        "learns_from": {
            "source": "embeddings", "of": ["vision.features"],
            "description": "embeddings of vision.features",
        },
        "epochs": [
            {"loss": 2.0, "accuracy": 0.1, "val_loss": 2.5, "val_accuracy": 0.2},
            {"loss": 0.55555, "accuracy": 0.5, "val_loss": 0.75, "val_accuracy": 0.25},
        ],
    },
    {
        "name": "fine",
        "seconds": 61.0,
        "learns_from": {
            "source": "rows", "description": "raw data: every sub-model is trained by then",
        },
        "unfrozen": {"vision": ["conv2", "features"], "text": ["a", "b", "c", "d", "e|f"]},
        "epochs": [{"loss": 0.125, "accuracy": 0.75, "val_loss": 0.5}],
    },
]  # fmt: skip
VISION = FrozenPart(tensors=4, parameters=1234, before="a" * 64, after="b" * 64, exported="c" * 64)
THAWED = FrozenPart(tensors=0, parameters=0, before="d" * 64, after="d" * 64, exported="d" * 64)


@pytest.fixture
def specification(shared_world: Path) -> Specification:
    specification = load_specification(shared_world / "fusion.yaml")
    training = Training.model_validate({"stages": STAGES})
    return specification.model_copy(update={"training": training})


def record_of(**facts: Any) -> TrainingRecord:
    return TrainingRecord.model_validate({"stages": DONE, "frozen": {}, "proof": {}, **facts})


def lines(specification: Specification, **facts: Any) -> list[str]:
    return record_text(specification, record_of(**facts)).splitlines()


def test_a_record_that_is_written_is_read_again(tmp_path: Path) -> None:
    record = record_of(
        frozen={"vision": {"conv/kernel": "0" * 64}}, proof={"vision": VISION},
        warm_start=WarmStart(champion="/serving/7", taken=["graph/a/0/kernel"]),
    )  # fmt: skip

    write_record(record, tmp_path)

    assert read_record(tmp_path) == record
    assert record.kept_epoch == {"loss": 0.125, "accuracy": 0.75, "val_loss": 0.5}
    assert [stage.learns_from.source for stage in record.stages] == ["embeddings", "rows"]


def test_a_stage_shows_what_it_trained_how_and_how_long(
    specification: Specification,
) -> None:
    text = lines(specification)

    start = text.index(
        "| stage | learns from | unfrozen | optimizer | learning rate | epochs | seconds |"
    )
    assert text[start + 1 : start + 4] == [
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| head | embeddings of vision.features | nothing | Adam | 0.001 | 2 of 5 | 3.2 |",
        "| fine | raw data: every sub-model is trained by then | "
        "vision: conv2, features; text: a, …, e\\|f (5 in all) | "
        "AdamW (weight_decay 0.01), clip_norm 1.5 | "
        "0.0001, CosineDecay (decay_steps 12), vision 1e-06 | 1 of 1 | 61.0 |",
    ]


def test_losses_and_metrics_are_those_of_each_stages_last_epoch(
    specification: Specification,
) -> None:
    text = lines(specification)

    start = text.index("| stage | quantity | train | eval |")
    assert text[start + 2 : start + 6] == [
        "| head | loss | 0.5555 | 0.7500 |",
        "| head | accuracy | 0.5000 | 0.2500 |",
        "| fine | loss | 0.1250 | 0.5000 |",
        "| fine | accuracy | 0.7500 |  |",
    ]


def test_the_proof_shows_each_moments_own_digest(specification: Specification) -> None:
    parts = {"vision": VISION, "text": THAWED}

    text = lines(specification, proof=parts)

    start = text.index("| sub-model | tensors | parameters | before | after | exported |")
    whole = all_frozen(parts)
    assert text[start + 2 : start + 5] == [
        f"| vision | 4 | 1,234 | `{'a' * 12}` | `{'b' * 12}` | `{'c' * 12}` |",
        "| text | 0 | 0 |  |  |  |",
        f"| all | 4 | 1,234 | `{whole.before[:12]}` | `{whole.after[:12]}` | "
        f"`{whole.exported[:12]}` |",
    ]


@pytest.mark.parametrize("proof", [{}, {"text": THAWED}], ids=["no sub-model", "all trained"])
def test_where_nothing_stayed_frozen_no_proof_is_claimed(
    proof: dict[str, FrozenPart], specification: Specification
) -> None:
    text = lines(specification, proof=proof)

    assert text[text.index("## Frozen") + 2] == "No tensor stayed frozen in every stage."
    assert not any("bit for bit" in line for line in text)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (None, "Not asked for: the head started anew, sub-models as they were imported."),
        (WarmStart(champion="", scratch="no model has been published yet"),
         "Trained from scratch: no model has been published yet."),
        (WarmStart(champion="/serving/7", taken=["graph/a/0/kernel"],
                   anew={"graph/a/0/bias": "a reason"}),
         "Began with 1 of 2 variables from champion 7 (`/serving/7`)."),
    ],
    ids=["not asked for", "from scratch", "from the champion"],
)  # fmt: skip
def test_the_text_says_what_training_began_with(
    outcome: WarmStart | None, sentence: str, specification: Specification
) -> None:
    text = lines(specification, warm_start=outcome)

    assert text[text.index("## Warm start") + 2] == sentence


def test_each_variable_is_listed_with_what_it_began_as(specification: Specification) -> None:
    outcome = WarmStart(
        champion="/serving/7", taken=["graph/a/0/kernel"],
        anew={
            "graph/a/0/bias": "the champion's is (8), here it is (9)", "submodels/b/c": "a reason",
        },
    )  # fmt: skip

    text = lines(specification, warm_start=outcome)

    assert text[-3:] == [
        "| `graph/a/0/kernel` | the champion's |",
        "| `graph/a/0/bias` | anew: the champion's is (8), here it is (9) |",
        "| `submodels/b/c` | imported: a reason |",
    ]
