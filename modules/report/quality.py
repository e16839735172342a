"""What the model came to, slice by slice, against its bounds and the champion; what it is worth."""

from __future__ import annotations

from collections.abc import Sequence

from tfx_fusion.modules.evaluation.quality import Line, Quality, read_quality
from tfx_fusion.modules.evaluation.quality_columns import BOUND, quality_columns
from tfx_fusion.modules.report.blocks import Block, Cell, Section, Table, Text
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.worth_picture import worth_picture

SHOWN_SLICES = 300


def quality_of(run: FinishedRun) -> Quality | None:
    """What the evaluation found; None where the run did not come to that."""
    folder = run.output("evaluation")
    return read_quality(folder) if folder else None


def own_lines(quality: Quality) -> list[Line]:
    """The candidate's own, on the whole evaluation split."""
    return [line for line in quality.lines if not line.of and not line.slice]


def quality_section(run: FinishedRun) -> Section:
    """Every metric of the whole split and of each slice."""
    quality = quality_of(run)
    if quality is None:
        return Section("metrics", "Metrics", [Text("The run did not come to an evaluation.")])
    blocks: list[Block] = [Text(f"Missed: {told}", "bad") for told in quality.missed]
    blocks += [Text(f"Skipped: {told}", "quiet") for told in quality.skipped]
    champion = run.made("ChampionResolver")
    if champion:
        blocks.append(Text(f"Champion to compare with: {champion}."))
    blocks.append(quality_table("The whole evaluation split", own_lines(quality), quality))
    slices = [line for line in quality.lines if line.slice]
    if len(slices) > SHOWN_SLICES:
        blocks.append(Text(f"The first {SHOWN_SLICES} of {len(slices)} lines by slice.", "quiet"))
    if slices:
        blocks.append(quality_table("By slice", slices[:SHOWN_SLICES], quality))
    served = run.made("ServingCheck")
    if served:
        blocks.append(Text(f"In a model server: {served}."))
    return Section("metrics", "Metrics", blocks)


def worth_section(run: FinishedRun) -> Section:
    """The fusion beside each of its branches, alone and left out."""
    quality = quality_of(run)
    lines = [line for line in quality.lines if line.of] if quality else []
    if quality is None or not lines:
        told = "Not measured: `evaluation.worth` asks for it."
        if run.specification.evaluation.worth:
            told = "The run did not come to that."
        return Section("worth", "What each branch is worth", [Text(told)])
    explained = (
        "Alone: a head of the branch's own, trained as the fused model was. Without: the fused "
        "model with the branch held at what stands for it where it is missing, or at its mean."
    )
    compared = [line for line in quality.lines if not line.slice]
    return Section(
        "worth",
        "What each branch is worth",
        [
            Text(explained),
            worth_picture(compared, quality.confidence),
            quality_table("Branch by branch", lines, quality),
        ],
    )


def quality_table(caption: str, lines: Sequence[Line], quality: Quality) -> Table:
    """Lines as a table; the columns that none of them fills are left out."""
    columns = quality_columns(lines, quality.confidence)
    return Table(
        caption,
        [column.name for column in columns],
        [
            [_bound(line, c.text(line)) if c.name == BOUND else c.text(line) for c in columns]
            for line in lines
        ],
        [position for position, column in enumerate(columns) if column.is_number],
    )


def _bound(line: Line, told: str) -> Cell:
    kept = {bound.met for bound in line.bounds}
    return Cell(told, "bad" if False in kept else "good" if True in kept else "quiet")
