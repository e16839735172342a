"""Folders of runs, written by hand: no pipeline is needed to report on one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfx_fusion.modules.evaluation.predictions import EvaluatedRows
from tfx_fusion.modules.registry.version_record import DataSource, Provenance, Source
from tfx_fusion.modules.report.answers import Answers
from tfx_fusion.modules.report.record import RunRecord
from tfx_fusion.modules.spec import Specification

CLASSES = ["red", "green", "blue"]


@pytest.fixture
def several(tmp_path: Path) -> Specification:
    """A category, one of two, several classes and a number from one feature."""
    head = {"layers": [{"Dense": {"units": 1}}], "inputs": "size"}
    return Specification.model_validate(
        {
            "name": "several",
            "data": {
                "path": tmp_path / "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5},
            },
            "features": {
                "size": {"type": "number", "columns": ["width", "height"]},
                "photo": {
                    "type": "image", "column": "photo", "shape": [8, 8, 3], "missing": "allowed",
                },
                "note": {"type": "text", "column": "note", "encoding": "string"},
            },
            "labels": {
                "colour": {"type": "category", "column": "colour", "classes": CLASSES},
                "steep": {"type": "category", "column": "steep", "classes": ["no", "yes"]},
                "tags": {"type": "multi_label", "column": "tags", "classes": ["a", "b", "c"]},
                "area": {"type": "number", "column": "area"},
            },
            "submodels": {"vision": {"path": tmp_path / "v.keras", "inputs": {"image": "photo"}}},
            "graph": {"head": head},
            "outputs": {
                "colour": {"from": "head", "loss": "categorical_crossentropy"},
                "steep": {"from": "head", "loss": "binary_crossentropy"},
                "tags": {"from": "head", "loss": "binary_crossentropy"},
                "area": {"from": "head", "loss": "mean_squared_error"},
            },
            "training": {"stages": [{"name": "a", "epochs": 1, "learning_rate": 0.1}]},
            "publish": {"path": tmp_path / "serving"},
        }
    )  # fmt: skip


@pytest.fixture
def answers(several: Specification, tmp_path: Path) -> Answers:
    """What a model may have answered to 200 rows, at random."""
    random = np.random.default_rng(3)
    scores = random.random((200, 3))
    labels = {
        "colour": random.integers(0, 3, 200),
        "steep": random.integers(0, 2, 200),
        "tags": random.integers(0, 2, (200, 3)).astype("float32"),
        "area": random.normal(size=(200, 1)),
    }
    predictions = {
        "colour": scores / scores.sum(axis=1, keepdims=True),
        "steep": random.random((200, 1)),
        "tags": random.random((200, 3)),
        "area": labels["area"] + random.normal(size=(200, 1)),
    }
    return Answers(several, str(tmp_path), EvaluatedRows(labels, predictions, {}))


@pytest.fixture
def write_run(several: Specification, tmp_path: Path) -> Callable[..., Path]:
    """Writes the folder of a run that reached nothing but what is given."""

    def write(specification: Specification | None = None, **record: Any) -> Path:
        folder = tmp_path / "runs" / "20260102-030405"
        folder.mkdir(parents=True, exist_ok=True)
        RunRecord(
            name="several",
            specification=str(tmp_path / "fusion.yaml"),
            log=str(folder / "run.log"),
            **{"status": "failed", **record},
        ).write(folder)
        provenance = Provenance(
            run=folder.name,
            specification=(specification or several).model_dump(mode="json"),
            data=DataSource(path=str(tmp_path / "rows.csv"), fingerprint="f" * 64),
            submodels={"vision": Source(digest="d" * 64, origin="the shop next door")},
        )
        (folder / "provenance.json").write_text(provenance.model_dump_json())
        return folder

    return write
