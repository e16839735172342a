"""What a stage made, told in a few words, and what a run came to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ml_metadata.proto import metadata_store_pb2

from tfx_fusion.modules.data.checks.anomalies import anomalies
from tfx_fusion.modules.data.write import REJECTED_FILE
from tfx_fusion.modules.evaluation.ablation import read_ablation
from tfx_fusion.modules.evaluation.quality import Quality, read_quality
from tfx_fusion.modules.training.record import read_record
from tfx_fusion.modules.training.record_text import RECORD_FILE


class Stage(Protocol):
    """A finished stage of a run: the class of its component, and what it made."""

    @property
    def component(self) -> str: ...

    @property
    def artifacts(self) -> Mapping[str, metadata_store_pb2.Artifact]: ...


def _number(artifact: metadata_store_pb2.Artifact, name: str) -> int:
    return artifact.custom_properties[name].int_value


def _text(artifact: metadata_store_pb2.Artifact, name: str) -> str:
    return artifact.custom_properties[name].string_value


def made(stage: Stage) -> str:
    """A few words on what a finished stage made."""
    artifacts = stage.artifacts
    if "rejected_rows" in artifacts:
        counts = artifacts["rejected_rows"]
        return ", ".join(
            f"{_number(counts, name):,} {name}" for name in ("train", "eval", "rejected")
        )
    if "anomalies" in artifacts:
        found = anomalies(Path(artifacts["anomalies"].uri))
        return "no anomalies" if not found else f"anomalies: {'; '.join(found[:3])}"
    if "data_gate" in artifacts:
        return _text(artifacts["data_gate"], "told")
    if "submodel" in artifacts:
        copied = artifacts["submodel"]
        digest = _text(copied, "digest")[:12]
        return f"{_number(copied, 'parameters'):,} parameters, digest {digest}"
    if "embeddings" in artifacts:
        rows, size = (_number(artifacts["embeddings"], name) for name in ("rows", "bytes_per_row"))
        return f"{rows:,} rows, {size:,} bytes each"
    if "training_record" in artifacts:
        record = read_record(Path(artifacts["training_record"].uri))
        values = record.kept_epoch
        proven = _number(artifacts["model"], "frozen_tensors_proven")
        start = artifacts["model"].custom_properties["warm_start"].string_value
        learned = dict.fromkeys(stage.learns_from.source for stage in record.stages)
        sources = " and ".join("raw data" if name == "rows" else name for name in learned)
        trained = f"on {sources}, loss {values['loss']:.4f}, {proven} frozen tensors proven"
        return f"{trained}, {start}" if start else trained
    if "worth" in artifacts:
        best = read_ablation(Path(artifacts["worth"].uri)).best()
        return ", ".join(
            f"{item.output}.{item.metric} {item.gain:+.4f} over {item.branch} alone"
            for item in best
        )
    if "evaluation" in artifacts:
        metrics = read_quality(Path(artifacts["evaluation"].uri)).overall()
        told = [
            f"{output}.{name} {value:.4f}"
            for output, values in metrics.items()
            for name, value in values.items()
            if name != "example_count"
        ]
        return ", ".join(told)
    if stage.component == "ServingCheck":
        return serving_told(artifacts["blessing"])
    if "champion" in artifacts:
        return champion(artifacts["champion"])
    if "pushed_model" in artifacts:
        path = pushed_path(artifacts["pushed_model"])
        return f"{_text(artifacts['pushed_model'], 'status')} {path}" if path else "not published"
    return ""


def serving_told(blessing: metadata_store_pb2.Artifact) -> str:
    """What the check in a model server came to."""
    told = _text(blessing, "told")
    return told if blessing.custom_properties["blessed"].int_value else f"not blessed: {told}"


def serving_problems(stages: Mapping[str, Stage]) -> list[str]:
    """Why a model must not be served, if so."""
    [stage] = [stage for stage in stages.values() if stage.component == "ServingCheck"]
    blessing = stage.artifacts["blessing"]
    if blessing.custom_properties["blessed"].int_value:
        return []
    return [f"in a model server: {_text(blessing, 'told')}"]


def champion(artifact: metadata_store_pb2.Artifact) -> str:
    """The version to compare with, and why it cannot be where it cannot."""
    version, unlike = _text(artifact, "version"), _text(artifact, "unlike")
    if not version:
        return "none is published yet"
    return f"version {version}, not comparable: {unlike}" if unlike else f"version {version}"


def pushed_path(artifact: metadata_store_pb2.Artifact) -> str | None:
    """The version folder that Pusher made; None where it made none."""
    if not artifact.custom_properties["pushed"].int_value:
        return None
    return artifact.custom_properties["pushed_destination"].string_value


def rolled_back(artifact: metadata_store_pb2.Artifact) -> str:
    """Why a model that was rolled back is not published again; empty for any other."""
    if _text(artifact, "status") != "rolled back":
        return ""
    version = _text(artifact, "pushed_version")
    return f"it is version {version}, which was rolled back; `fusion rollback` can serve it again"


def verdict(stages: Mapping[str, Stage], quality: Quality) -> tuple[str | None, str | None]:
    """The published version's folder, and else why there is none."""
    pushed = artifact(stages, "pushed_model")
    published = pushed_path(pushed)
    if published is not None:
        return published, None
    missed = [*quality.missed, *serving_problems(stages)]
    if not quality.is_bounded:
        missed.append("evaluation bounds nothing: write what it must keep in evaluation.thresholds")
    why = rolled_back(pushed) or "; ".join(missed) or "it was not blessed"
    return None, f"the model was not published: {why}"


def artifact(stages: Mapping[str, Stage], key: str) -> metadata_store_pb2.Artifact:
    """The artifact that a finished stage gave under a key."""
    return next(stage.artifacts[key] for stage in stages.values() if key in stage.artifacts)


def training_record(stages: Mapping[str, Stage]) -> str:
    """The readable record of training."""
    return str(Path(artifact(stages, "training_record").uri, RECORD_FILE))


def rejected(stages: Mapping[str, Stage]) -> tuple[int, str]:
    """How many rows were rejected, and the file with their reasons."""
    found = artifact(stages, "rejected_rows")
    return _number(found, "rejected"), str(Path(found.uri, REJECTED_FILE))
