"""Stages of training: what each accepts, and how it refuses the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import assert_refused

from tfx_fusion.modules.spec import (
    load_specification,
)

Write = Callable[..., Path]

STAGE = "    - {name: head, epochs: 3, learning_rate: 1e-2}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("all", {"all": True}),
        ("{last: 2}", {"last": 2}),
        ("{layers: ['conv*', norm]}", {"layers": ("conv*", "norm")}),
        ("{last: 1, learning_rate: 1e-6}", {"last": 1, "learning_rate": 1e-6}),
        ("{last: 1, training_mode: true}", {"last": 1, "training_mode": True}),
    ],
)
def test_a_stage_may_unfreeze_a_submodel(
    write_specification: Write, written: str, expected: dict[str, object]
) -> None:
    path = write_specification(("epochs: 3", f"epochs: 3, unfreeze: {{vision: {written}}}"))

    unfreeze = load_specification(path).training.stages[0].unfreeze

    assert {name: part.model_dump(exclude_defaults=True) for name, part in unfreeze.items()} == {
        "vision": expected
    }


@pytest.mark.parametrize("key", ["optimizer", "schedule"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [("Some", {"Some": {}}), ("{Some: {rate: 1e-2}}", {"Some": {"rate": 0.01}})],
)
def test_a_stage_may_name_a_class_of_keras_with_its_config(
    write_specification: Write, key: str, written: str, expected: dict[str, object]
) -> None:
    path = write_specification(("epochs: 3", f"epochs: 3, {key}: {written}"))

    assert getattr(load_specification(path).training.stages[0], key) == expected


def test_each_stage_needs_a_name_of_its_own(write_specification: Write) -> None:
    path = write_specification((STAGE, f"{STAGE}\n{STAGE}"))

    assert_refused(
        path, "  stages:", "training.stages: each stage needs a name of its own, found 'head' twice"
    )


def test_training_needs_a_stage(write_specification: Write) -> None:
    path = write_specification((f"  stages:\n{STAGE}", "  stages: []"))

    assert_refused(path, "  stages:", "training.stages: … at least 1 item")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("unfreeze: {vision: {}}", "unfreeze.vision: give one of 'all: true', 'last: N' or 'la"),
        (
            "unfreeze: {vision: {all: true, last: 2}}",
            "unfreeze.vision: give one of 'all: true', 'last: N' or 'layers: [patterns]'",
        ),
        ("unfreeze: {vision: {lsat: 2}}", "unfreeze.vision.lsat: … did you mean 'last'?"),
        ("unfreeze: {vision: {last: 0}}", "unfreeze.vision.last: … greater than 0 … found 0"),
        ("unfreeze: {vision: {layers: []}}", "unfreeze.vision.layers: … at least 1 item"),
        ("unfreeze: {vision: {all: false}}", "unfreeze.vision.all: expected true, found false"),
        ("unfreeze: {vision: some}", "unfreeze.vision: … mapping … found 'some'"),
        ("unfreeze: [vision]", "unfreeze: … mapping … found ['vision']"),
        ("optimizer: {SGD: {}, Adam: {}}", "optimizer: … at most 1 item"),
        ("optimizer: {}", "optimizer: … at least 1 item"),
        ("optimizer: [SGD]", "optimizer: … mapping … found ['SGD']"),
        ("optimizer: {SGD: 3}", "optimizer.SGD: … mapping … found 3"),
        ("optimizer: {SGD: {momentum: .inf}}", "optimizer.SGD.momentum: "),
        ("early_stopping: true", "early_stopping: … mapping … found true"),
        ("early_stopping: {patience: 0}", "early_stopping.patience: … greater than 0"),
        ("clip_norm: 0", "clip_norm: … greater than 0 … found 0"),
    ],
)
def test_a_stage_checks_how_it_trains(
    write_specification: Write, written: str, expected: str
) -> None:
    path = write_specification(("epochs: 3", f"epochs: 3, {written}"))

    assert_refused(path, written, f"training.stages.0.{expected}")
