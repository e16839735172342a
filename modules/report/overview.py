"""What a run came to at a glance, the model's card, the run's stages, and what it came from."""

from __future__ import annotations

import json

from tfx_fusion.modules.report.blocks import Block, Cell, Folded, Section, Table, Text, Tone
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.quality import own_lines, quality_of, quality_table

TONES: dict[str, Tone] = {"published": "good", "done": "good", "reused": "good", "failed": "bad"}
NOT_GIVEN = Cell("not given", "quiet")


def glance_section(run: FinishedRun) -> Section:
    """Whether a model was published, and what it scores."""
    status, record = run.record["status"], run.record
    blocks: list[Block] = [Text(status, TONES.get(status, "bad"))]
    if record["error"]:
        blocks.append(Text(record["error"], "bad"))
    if record["published"]:
        blocks.append(Text(f"Published as {record['published']}"))
    quality = quality_of(run)
    if quality:
        blocks.append(quality_table("Metrics of the evaluation split", own_lines(quality), quality))
    return Section("glance", "At a glance", blocks)


def card_section(run: FinishedRun) -> Section:
    """What people should know before they use the model."""
    specification = run.specification
    told = {"intended use": specification.card.intended_use, "limits": specification.card.limits}
    blocks: list[Block] = [
        Table(
            "Use", ["", "as the specification says"], [[k, v or NOT_GIVEN] for k, v in told.items()]
        )
    ]
    rows = [
        [name, source.origin, specification.submodels[name].licence or NOT_GIVEN]
        for name, source in run.provenance.submodels.items()
    ]
    if rows:
        blocks.append(Table("Sub-models", ["name", "origin", "licence"], rows))
    return Section("card", "Model card", blocks)


def stages_section(run: FinishedRun) -> Section:
    """What each stage of the pipeline did."""
    rows = [
        [
            stage["name"],
            Cell(stage["status"], TONES.get(stage["status"], "quiet")),
            "" if stage["seconds"] is None else f"{stage['seconds']:.1f}",
            f"{stage['saved']:.1f}" if stage["saved"] else "",
            stage["made"],
        ]
        for stage in run.record["stages"]
    ]
    header = ["stage", "status", "seconds", "saved", "what it made"]
    return Section("stages", "Stages", [Table("Stages of the run", header, rows, (2, 3))])


def lineage_section(run: FinishedRun) -> Section:
    """All that the model came from."""
    provenance, record = run.provenance, run.record
    rows: list[list[Cell | str]] = [
        ["run", Cell(provenance.run, is_code=True)],
        ["specification", Cell(record["specification"], is_code=True)],
        ["data", Cell(provenance.data.path, is_code=True)],
        ["data fingerprint", Cell(provenance.data.fingerprint, is_code=True)],
        ["trained model", Cell(str(run.model), is_code=True) if run.model else "none"],
        ["training record", Cell(record["training_record"] or "none", is_code=True)],
        ["published", Cell(record["published"] or "nothing", is_code=True)],
        ["log", Cell(record["log"], is_code=True)],
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
