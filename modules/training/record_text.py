"""The training record as Markdown, beside the pictures and the numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfx_fusion.modules.data.rejected import REJECTED_FILE
from tfx_fusion.modules.spec import Fusion, Stage
from tfx_fusion.modules.training.curves import quantities
from tfx_fusion.modules.training.frozen_proof import FrozenPart, all_frozen
from tfx_fusion.modules.training.record import (
    HISTORY_FILE,
    StageRecord,
    TrainingRecord,
    WarmStart,
)

RECORD_FILE = "record.md"
CURVES_FILE = "curves.svg"
GRAPH_FILE = "graph.svg"

RUNS = ("train", "eval")
STAGE_HEADER = (
    "stage", "learns from", "unfrozen", "optimizer", "learning rate", "epochs", "seconds",
)  # fmt: skip
VALUES_HEADER = ("stage", "quantity", *RUNS)
SHOWN_LAYERS = 4
SHOWN_DIGEST = 12


def record_text(specification: Fusion, record: TrainingRecord) -> str:
    """What was trained and how, what stayed frozen, and what training began with."""
    planned = specification.training.stages
    parts = [
        f"# Training of {specification.name}",
        f"[Losses and metrics by epoch]({CURVES_FILE}), [the graph]({GRAPH_FILE}), "
        f"[every number and digest]({HISTORY_FILE}).",
        "## Stages",
        _table(
            STAGE_HEADER,
            (stage_cells(stage, done) for stage, done in zip(planned, record.stages, strict=True)),
        ),
        "Losses and metrics of each stage's last epoch, or of its best where it stops early:",
        _table(
            VALUES_HEADER,
            (row for done in record.stages for row in last_values(done)),
        ),
        *_rejected(record.rejected),
        "## Frozen",
        *_proof(record.proof),
        "## Warm start",
        *_warm_start(record.warm_start),
    ]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _with_config(named: dict[str, dict[str, Any]]) -> str:
    """A class of Keras with its config: `AdamW (weight_decay 0.01)`."""
    [(name, config)] = named.items()
    values = ", ".join(f"{key} {value}" for key, value in config.items())
    return f"{name} ({values})" if values else name


def stage_cells(planned: Stage, done: StageRecord) -> list[str]:
    """A stage as it was planned and done, under `STAGE_HEADER`."""
    unfrozen = [f"{name}: {_few(layers)}" for name, layers in done.unfrozen.items()]
    optimizer = _with_config(planned.optimizer)
    if planned.clip_norm is not None:
        optimizer += f", clip_norm {planned.clip_norm:g}"
    rates = [f"{planned.learning_rate:g}"]
    if planned.schedule:
        rates.append(_with_config(planned.schedule))
    rates += [
        f"{name} {wanted.learning_rate:g}"
        for name, wanted in planned.unfreeze.items()
        if wanted.learning_rate is not None
    ]
    return [
        planned.name,
        done.learns_from.description,
        "; ".join(unfrozen) or "nothing",
        optimizer,
        ", ".join(rates),
        f"{len(done.epochs)} of {planned.epochs}",
        f"{done.seconds:.1f}",
    ]


def _few(layers: list[str]) -> str:
    if len(layers) <= SHOWN_LAYERS:
        return ", ".join(layers)
    return f"{layers[0]}, …, {layers[-1]} ({len(layers)} in all)"


def last_values(done: StageRecord) -> list[list[str]]:
    """A row for each loss and metric that a stage ended with, under `VALUES_HEADER`."""
    return [
        [done.name, name, *(f"{runs[run][1]:.4f}" if run in runs else "" for run in RUNS)]
        for name, runs in quantities([{"epochs": [done.kept_epoch]}]).items()
    ]


def _rejected(rows: Mapping[str, int]) -> list[str]:
    if not any(rows.values()):
        return []
    counts = ", ".join(f"{count:,} of {split}" for split, count in rows.items())
    return ["## Rows left out", f"{counts}: [the rows with their reasons]({REJECTED_FILE})."]


def _proof(parts: Mapping[str, FrozenPart]) -> list[str]:
    if not any(part.tensors for part in parts.values()):
        return ["No tensor stayed frozen in every stage."]
    rows = [_frozen(name, part) for name, part in parts.items()]
    return [
        "Tensors that no stage unfreezes, moving statistics included, are bit for bit what was "
        "imported: their digest was taken before training, after it, and in the exported model. "
        f"Each tensor's own is in [{HISTORY_FILE}]({HISTORY_FILE}) under `frozen`.",
        _table(
            ("sub-model", "tensors", "parameters", "before", "after", "exported"),
            [*rows, _frozen("all", all_frozen(parts))],
        ),
    ]


def _frozen(name: str, part: FrozenPart) -> list[str]:
    moments = (part.before, part.after, part.exported) if part.tensors else ()
    shown = [f"`{digest[:SHOWN_DIGEST]}`" for digest in moments] or [""] * 3
    return [name, str(part.tensors), f"{part.parameters:,}", *shown]


def _warm_start(outcome: WarmStart | None) -> list[str]:
    if outcome is None:
        return ["Not asked for: the head started anew, sub-models as they were imported."]
    if outcome.scratch:
        return [f"Trained {outcome}."]
    rows = [
        *([f"`{name}`", "the champion's"] for name in outcome.taken),
        *([f"`{name}`", f"{_without(name)}: {reason}"] for name, reason in outcome.anew.items()),
    ]
    began = f"Began with {outcome} (`{outcome.champion}`)."
    return [began, _table(("variable", "began as"), rows)]


def _without(name: str) -> str:
    """What a variable begins as where it is not the champion's."""
    return "imported" if name.startswith("submodels/") else "anew"
