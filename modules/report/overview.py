"""A run at a glance, the model's card, the run's steps, and its lineage."""

import json

from tfx_fusion.modules.report.blocks import Block, Cell, Folded, Section, Table, Text, Tone
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.quality import own_lines, quality_of, quality_table

TONES: dict[str, Tone] = {"published": "good", "done": "good", "reused": "good", "failed": "bad"}
NOT_GIVEN = Cell("not given", "quiet")


def glance_section(run: FinishedRun) -> Section:
    """Whether a model was published, and what it scores."""
    record = run.record
    blocks: list[Block] = [Text(record.status, TONES.get(record.status, "bad"))]
    if record.error:
        blocks.append(Text(record.error, "bad"))
    if record.published:
        blocks.append(Text(f"Published as {record.published}"))
    quality = quality_of(run)
    if quality:
        blocks.append(quality_table("Metrics of the evaluation split", own_lines(quality), quality))
    return Section("glance", "At a glance", blocks)


def card_section(run: FinishedRun) -> Section:
    """What people should know before they use the model."""
    specification = run.specification
    card = {"intended use": specification.card.intended_use, "limits": specification.card.limits}
    uses: list[list[Cell | str]] = [[name, text or NOT_GIVEN] for name, text in card.items()]
    blocks: list[Block] = [Table("Use", ["", "as the specification says"], uses)]
    rows = [
        [name, source.origin, specification.submodels[name].licence or NOT_GIVEN]
        for name, source in run.provenance.submodels.items()
    ]
    if rows:
        blocks.append(Table("Sub-models", ["name", "origin", "licence"], rows))
    allowed: list[list[Cell | str]] = [
        [name, ", ".join(submodel.allow_ops)]
        for name, submodel in specification.submodels.items()
        if submodel.allow_ops
    ]
    if allowed:
        blocks.append(
            Table("Operations allowed beside those known to be safe", ["name", ""], allowed)
        )
    return Section("card", "Model card", blocks)


def steps_section(run: FinishedRun) -> Section:
    """What each step of the pipeline did."""
    rows: list[list[Cell | str]] = [
        [
            step.name,
            Cell(step.status, TONES.get(step.status, "quiet")),
            "" if step.seconds is None else f"{step.seconds:.1f}",
            f"{step.seconds_saved:.1f}" if step.seconds_saved else "",
            step.summary.text if step.summary else "",
        ]
        for step in run.record.steps
    ]
    header = ["step", "status", "seconds", "saved", "summary"]
    return Section("steps", "Steps", [Table("Steps of the run", header, rows, (2, 3))])


def lineage_section(run: FinishedRun) -> Section:
    """All that the model came from."""
    provenance, record = run.provenance, run.record
    rows: list[list[Cell | str]] = [
        ["run", Cell(provenance.run, is_code=True)],
        ["specification", Cell(record.specification or "given to the pipeline", is_code=True)],
        ["data", Cell(provenance.data.path, is_code=True)],
        ["data fingerprint", Cell(provenance.data.fingerprint, is_code=True)],
        ["trained model", Cell(str(run.model), is_code=True) if run.model else "none"],
        ["training record", Cell(record.training_record or "none", is_code=True)],
        ["published", Cell(record.published or "nothing", is_code=True)],
        ["log", Cell(record.log or "in each step", is_code=True)],
    ]
    rows[4:4] = [
        [f"sub-model {name}, digest", Cell(source.digest, is_code=True)]
        for name, source in provenance.submodels.items()
    ]
    resolved = json.dumps(provenance.specification, indent=1, ensure_ascii=False)
    return Section(
        "lineage",
        "Lineage",
        [
            Table("What it came from", ["", "where, or its digest"], rows),
            Folded("The specification as it was resolved", resolved),
        ],
    )
