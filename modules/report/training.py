"""The graph that was trained, its training, and the proof of what stayed frozen."""

from tfx_fusion.modules.report.blocks import Block, Cell, Section, Table, Text, svg
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.summaries import TrainingSummary
from tfx_fusion.modules.training.frozen_proof import FrozenPart, all_frozen
from tfx_fusion.modules.training.record import read_record
from tfx_fusion.modules.training.record_text import (
    CURVES_FILE,
    GRAPH_FILE,
    SHOWN_DIGEST,
    STAGE_HEADER,
    VALUES_HEADER,
    last_values,
    stage_cells,
)

NOT_TRAINED = "The run ended before a model was trained."


def graph_section(run: FinishedRun) -> Section:
    """The picture of the graph."""
    folder = run.record.output("training_record")
    if folder is None:
        return Section("graph", "Graph", [Text(NOT_TRAINED)])
    nodes = [*run.specification.submodels, *run.specification.graph]
    alt = (
        f"The fusion graph: {', '.join(run.specification.features)} into {', '.join(nodes)}, "
        f"out as {', '.join(run.specification.outputs)}."
    )
    return Section("graph", "Graph", [svg((folder / GRAPH_FILE).read_text(), alt)])


def training_section(run: FinishedRun) -> Section:
    """The stages and their curves."""
    folder = run.record.output("training_record")
    if folder is None:
        return Section("training", "Training", [Text(NOT_TRAINED)])
    stages = read_record(folder).stages
    planned = run.specification.training.stages
    cells = [stage_cells(stage, done) for stage, done in zip(planned, stages, strict=True)]
    values = [row for done in stages for row in last_values(done)]
    alt = "Losses and metrics of training and evaluation by epoch; the last values are below."
    blocks: list[Block] = [
        svg((folder / CURVES_FILE).read_text(), alt),
        Table("Stages", STAGE_HEADER, cells, (5, 6)),
        Table("The last epoch of each stage", VALUES_HEADER, values, (2, 3)),
    ]
    summary = run.record.summary(TrainingSummary)
    if summary:
        blocks.insert(0, Text(f"Trained {summary.text}."))
    return Section("training", "Training", blocks)


def frozen_section(run: FinishedRun) -> Section:
    """The digests of what stayed frozen, at three moments."""
    title = "Frozen tensors"
    folder = run.record.output("training_record")
    if folder is None:
        return Section("frozen", title, [Text(NOT_TRAINED)])
    parts = read_record(folder).proof
    if not any(part.tensors for part in parts.values()):
        return Section("frozen", title, [Text("No tensor stayed frozen throughout.")])
    rows = [(name, part) for name, part in parts.items() if part.tensors]
    explained = (
        "Tensors that no stage unfreezes are bit for bit what was imported: their digest was taken "
        "before training, after it, and in the exported model."
    )
    header = ("sub-model", "tensors", "parameters", "before", "after", "exported", "")
    cells = [_cells(name, part) for name, part in [*rows, ("all", all_frozen(parts))]]
    return Section(
        "frozen", title, [Text(explained), Table("Digests", header, cells, (1, 2))]
    )  # fmt: skip


def _cells(name: str, part: FrozenPart) -> list[Cell | str]:
    moments = (part.before, part.after, part.exported)
    same = len(set(moments)) == 1
    return [
        name,
        f"{part.tensors:,}",
        f"{part.parameters:,}",
        *(Cell(digest[:SHOWN_DIGEST], is_code=True) for digest in moments),
        Cell("the same", "good") if same else Cell("not the same", "bad"),
    ]
