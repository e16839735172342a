"""A model of three outputs, trained and exported, that TFMA reads as in a run."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from specs import specification_of

from tfx_fusion.modules.spec import Specification

TAGS = ["wide", "tall", "big", "never"]
REGIONS = ["north", "south"]
RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def make_rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(6)
    rows = []
    for number in range(120):
        width, height = random.uniform(0, 4, 2).round(3)
        noisy = [width > 2.5, height > 2 + random.normal(), width * height > 4, False]
        tags = [tag for tag, has in zip(TAGS, noisy, strict=True) if has]
        rows.append(
            {
                "id": number, "width": width, "height": height, "region": REGIONS[number % 2],
                "tags": " ; ".join(tags), "steep": "yes" if height > width else "no",
                "area": width * height,
            }
        )  # fmt: skip
    return rows


def specify(folder: Path) -> Specification:
    head = {"inputs": "size"}
    return specification_of(
        **{
            "data": {
                "path": folder / "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5},
            },
            "features": {
                "size": {"type": "number", "columns": ["width", "height"]},
                "region": {"type": "category", "column": "region", "classes": REGIONS},
            },
            "labels": {
                "tags": {"type": "multi_label", "column": "tags", "classes": TAGS},
                "steep": {"type": "category", "column": "steep", "classes": ["no", "yes"]},
                "area": {
                    "type": "number", "column": "area", "normalize": "standard",
                    "row_weights": "height",
                },
            },
            "graph": {
                "tag_scores": {"layers": [{"Dense": {"units": 4}}], **head},
                "steepness": {"layers": [{"Dense": {"units": 1}}], **head},
                "surface": {"layers": [{"Dense": {"units": 1}}], **head},
            },
            "outputs": {
                "tags": {
                    "from": "tag_scores", "loss": "binary_crossentropy",
                    "metrics": [
                        "accuracy", "auc", "precision", "recall", {"f1": {"threshold": 0.3}},
                        "macro_f1", "pr_auc", "log_loss", "calibration_error",
                        {"recall_at_precision": {"precision": 0.8}},
                    ],
                },
                "steep": {
                    "from": "steepness", "loss": "binary_crossentropy",
                    "metrics": ["accuracy", "precision", "recall"], "class_weights": "balanced",
                },
                "area": {
                    "from": "surface", "loss": "mean_squared_error",
                    "metrics": ["mean_absolute_error", "r2", "quantile_loss@0.9"],
                },
            },
            "evaluation": {
                "slices": ["region"],
                "thresholds": {"tags": {
                        "auc": {"min": 0.1}, "recall": {"min": 1.01}, "f1@0.3": {"min": 0.1},
                    }},
            },
            "training": {
                "batch_size": 16, "stages": [{"name": "a", "epochs": 4, "learning_rate": 0.1}],
            },
            "publish": {"path": folder / "serving"},
        }
    )  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A trained model's folder, its record, and the rows to evaluate it on, also as tf.Examples."""

    specification: Specification
    folder: Path
    examples: Path
    rows: list[dict[str, Any]]
    training_rows: list[dict[str, Any]]

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def serialized(self) -> Any:
        import tensorflow as tf

        return tf.constant([record.numpy() for record in tf.data.TFRecordDataset(self.examples)])

    def signature(self, name: str, **inputs: Any) -> dict[str, np.ndarray]:
        import tensorflow as tf

        loaded = tf.saved_model.load(str(self.model))
        return {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}


@pytest.fixture(scope="session")
def export_trained(
    tmp_path_factory: pytest.TempPathFactory, prepare_training: Callable
) -> Callable[..., Exported]:
    """Trains and exports with pieces of `training` replaced; all models share their examples."""
    folder = tmp_path_factory.mktemp("several")
    rows = make_rows()
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    inputs = prepare_training(specify(folder))
    [examples] = inputs.splits["eval"].iterdir()

    def export(name: str, **training: Any) -> Exported:
        from tfx_fusion.modules.embedding.plan import plan_stages
        from tfx_fusion.modules.graph.build import build, open_interface
        from tfx_fusion.modules.training.checkpoint import Checkpoint
        from tfx_fusion.modules.training.run import fuse_and_train

        given = specify(folder)
        specification = given.model_copy(
            update={"training": given.training.model_copy(update=training)}
        )
        fuse_and_train(
            specification, {}, {}, {},
            transform_path=str(inputs.transform_graph / "transform_fn"),
            splits={split: str(path) for split, path in inputs.splits.items()},
            stages=plan_stages(specification, build(specification, {}, open_interface)),
            embeddings=[],
            model_path=folder / name / "model",
            record_path=folder / name / "record",
            checkpoint=Checkpoint(folder / name / "checkpoint"),
        )  # fmt: skip
        return Exported(specification, folder / name, examples, rows[80:], rows[:80])

    return export


@pytest.fixture(scope="session")
def exported(export_trained: Callable[..., Exported]) -> Exported:
    return export_trained("candidate")


@pytest.fixture(scope="session")
def evaluate(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Predicts and runs TFMA as the evaluator does; returns the folder of the evaluation."""

    def run(specification: Specification, champion: Exported | None = None) -> Path:
        import apache_beam as beam
        import tensorflow_model_analysis as tfma
        from apache_beam.options.pipeline_options import PipelineOptions

        from tfx_fusion.modules.evaluation.predictions import (
            CANDIDATE,
            CHAMPION,
            predictions_folder,
            write_predictions,
        )
        from tfx_fusion.modules.evaluation.tfma_config import predictions_config

        config = tfma.utils.update_eval_config_with_defaults(
            predictions_config(specification, champion is not None),
            has_baseline=champion is not None,
            rubber_stamp=True,
        )
        models = [
            tfma.default_eval_shared_model(
                str((champion if champion and spec.is_baseline else exported).model),
                model_name=spec.name, tags=["serve"], eval_config=config,
            )
            for spec in config.model_specs
        ]  # fmt: skip
        output = tmp_path_factory.mktemp("evaluation")
        given = {CANDIDATE: exported.model, **({CHAMPION: champion.model} if champion else {})}
        folder = predictions_folder(output)
        with beam.Pipeline(options=PipelineOptions([RUNNER])) as pipeline:
            write_predictions(pipeline, specification, given, str(exported.examples.parent), folder)
        [predictions] = folder.iterdir()
        tfma.run_model_analysis(
            eval_shared_model=models if champion else models[0],
            eval_config=config,
            data_location=str(predictions),
            output_path=str(output),
            pipeline_options=PipelineOptions([RUNNER]),
        )
        return output

    return run
