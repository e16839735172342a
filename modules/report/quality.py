"""The model's metrics, slice by slice, against bounds and champion; what each branch is worth."""

from collections.abc import Sequence

from tfx_fusion.modules.evaluation.quality import (
    BOUND,
    Line,
    Quality,
    quality_columns,
    read_quality,
)
from tfx_fusion.modules.report.blocks import Block, Cell, Section, Table, Text
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.pictures import worth_picture
from tfx_fusion.modules.report.summaries import ChampionSummary, ServingSummary

SHOWN_SLICES = 300


def quality_of(run: FinishedRun) -> Quality | None:
    """What the evaluation found; None where the run ended before it."""
    folder = run.record.output("evaluation")
    return read_quality(folder) if folder else None


def own_lines(quality: Quality) -> list[Line]:
    """The candidate's own, on the whole evaluation split."""
    return [line for line in quality.lines if not line.of and not line.slice]


def quality_section(run: FinishedRun) -> Section:
    """Every metric of the whole split and of each slice."""
    quality = quality_of(run)
    if quality is None:
        return Section("metrics", "Metrics", [Text("The run ended before the evaluation.")])
    blocks: list[Block] = [Text(f"Missed: {missed}", "bad") for missed in quality.missed]
    blocks += [Text(f"Warning: {warning}", "bad") for warning in quality.warnings]
    blocks += [Text(f"Skipped: {skipped}", "quiet") for skipped in quality.skipped]
    champion = run.record.summary(ChampionSummary)
    if champion:
        blocks.append(Text(f"Champion to compare with: {champion.text}."))
    blocks.append(quality_table("The whole evaluation split", own_lines(quality), quality))
    slices = [line for line in quality.lines if line.slice]
    if len(slices) > SHOWN_SLICES:
        blocks.append(Text(f"The first {SHOWN_SLICES} of {len(slices)} lines by slice.", "quiet"))
    if slices:
        blocks.append(quality_table("By slice", slices[:SHOWN_SLICES], quality))
    served = run.record.summary(ServingSummary)
    if served:
        blocks.append(Text(f"In a model server: {served.text}."))
    return Section("metrics", "Metrics", blocks)


def worth_section(run: FinishedRun) -> Section:
    """The fused model beside each single branch, and without each branch."""
    quality = quality_of(run)
    lines = [line for line in quality.lines if line.of] if quality else []
    if quality is None or not lines:
        text = "Not measured: `evaluation.worth` asks for it."
        if run.specification.evaluation.worth:
            text = "The run ended before that."
        return Section("worth", "What each branch is worth", [Text(text)])
    explained = (
        "Alone: a head on this single branch, trained as the fused model was. Without: the fused "
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


def _bound(line: Line, text: str) -> Cell:
    met = {bound.met for bound in line.bounds}
    return Cell(text, "bad" if False in met else "good" if True in met else "quiet")
