"""Shows what the fusion is worth: each branch alone against both, and three predictions.

Run after `fusion run examples/image_text/fusion.yaml`, which has measured each branch with a head
of its own; measures the pretrained models as they came on the same rows.
"""

from pathlib import Path
from typing import Any

from tfx_fusion.modules.report.record import RUN_FILE, RunRecord
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

HERE = Path(__file__).resolve().parent
SPECIFICATION = HERE / "fusion.yaml"
BRANCHES = {"vision": "image", "text": "text"}
SHOWN = 3


def last_run() -> RunRecord:
    """The record of the last published run."""
    for file in sorted(HERE.glob(f"runs/*/{RUN_FILE}"), reverse=True):
        record = RunRecord.read(file.parent)
        if record.status == "published":
            return record
    raise SystemExit("no published run yet: run `make demo`, or `fusion run` on fusion.yaml first")


def pretrained_accuracy(specification: Any, name: str, rows: Any) -> float:
    """How often a pretrained model's own classifier is right, as it came, without any fusion."""
    import numpy as np

    from tfx_fusion.modules.submodels.layer import SubmodelLayer

    submodel = specification.submodels[name]
    classifier = SubmodelLayer(submodel.path, ["probabilities"], submodel.signature, name)
    right = []
    for features, labels in rows:
        inputs = {entry: features[feature] for entry, feature in submodel.inputs.items()}
        chosen = np.argmax(classifier(inputs)["probabilities"], axis=1)
        right.append(chosen == labels["digit"].numpy())
    return float(np.concatenate(right).mean())


def measured(record: RunRecord, of: str) -> float:
    """The accuracy that the run measured of a single branch, as its table of quality names it."""
    return next(line.value for line in record.quality.lines if line.of == of)


def main() -> None:
    record = last_run()
    import_tensorflow_quietly()

    from rich.console import Console
    from rich.table import Table

    from tfx_fusion.modules.data import data_file
    from tfx_fusion.modules.data.split import split_of
    from tfx_fusion.modules.preprocessing.graph import TransformGraph
    from tfx_fusion.modules.serving.published import PublishedModel
    from tfx_fusion.modules.spec import load_specification
    from tfx_fusion.modules.training.data import RawRows, evaluation_rows

    console = Console(width=120)
    specification = load_specification(SPECIFICATION)
    transform = TransformGraph(
        f"{record.output('transform_graph')}/transform_fn",
        specification.features,
        specification.labels,
    )
    rows = RawRows(specification, transform, f"{record.output('examples')}/Split-eval")
    eval_rows = evaluation_rows(specification, rows, list(specification.features))

    fused = record.metrics["digit"]["accuracy"]
    table = Table("accuracy on the evaluation split", "as pretrained", "with a head of its own")
    best = 0.0
    with console.status("measuring each pretrained model"):
        for name, shown in BRANCHES.items():
            pretrained = pretrained_accuracy(specification, name, eval_rows)
            own_head = measured(record, f"{name} alone")
            best = max(best, pretrained, own_head)
            table.add_row(f"{shown} alone ({name})", f"{pretrained:.1%}", f"{own_head:.1%}")
    table.add_row("[bold]fused[/]", "", f"[bold]{fused:.1%}[/]")
    console.print(table)
    console.print(f"fused, over the better branch alone: {100 * (fused - best):+.1f} points")
    console.print(f"published: {record.published}", soft_wrap=True, highlight=False)

    console.print(f"{SHOWN} predictions of the published model, on rows it was not trained on:")
    model = PublishedModel(Path(record.published))
    data = specification.data
    first = data_file.read(data_file.shards(data.path)[0])
    chosen = [item for item in first if split_of(item[1], data.split) == "eval"][:SHOWN]
    folder = data.path.parent
    for (_, row), answer in zip(chosen, model.predict(chosen, folder), strict=True):
        chances = answer.outputs["digit"]
        digit = max(chances, key=lambda key: chances[key])
        console.print(
            f"  {digit} ({chances[digit]:.0%}), in truth {row['digit']}: heard "
            f"\"{row['transcript']}\", picture {folder / row['image_path']}",
            soft_wrap=True, highlight=False,
        )  # fmt: skip


if __name__ == "__main__":
    main()
