"""The model's errors: by class or by size of the error, and row by row."""

from tfx_fusion.modules.report.answers import (
    MOST_ROWS,
    Answers,
    ask,
    class_counts,
    confusion,
    most_confused,
)
from tfx_fusion.modules.report.blocks import Block, Examples, Section, Table, Text
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.pictures import classes_picture, confusion_picture, residuals_picture
from tfx_fusion.modules.report.worst import worst_examples
from tfx_fusion.modules.spec import MultiLabel, NumberLabel

SHOWN_PAIRS = 10
SHOWN_CLASSES = 40


def errors_section(run: FinishedRun) -> Section:
    """Confusion matrices or residuals of every output, and the rows with the largest errors."""
    title = "Errors"
    answers = ask(run)
    if answers is None:
        return Section("errors", title, [Text("The run ended before the evaluation.")])
    rows = len(next(iter(answers.rows.labels.values())))
    first = "the first " if rows == MOST_ROWS else ""
    blocks: list[Block] = [Text(f"On {first}{rows:,} rows of the evaluation split.")]
    examples = worst_examples(answers)
    for output in run.specification.outputs:
        blocks += output_blocks(answers, output)
        worst = examples.get(output)
        if worst:
            blocks.append(Examples(f"{output}: the rows with the largest errors", worst))
        elif output in examples:
            blocks.append(Text(f"{output}: no row was predicted wrong."))
    return Section("errors", title, blocks)


def output_blocks(answers: Answers, output: str) -> list[Block]:
    """Which classes an output confuses, or by how much it is off."""
    label = answers.specification.label_of(output)
    truth = answers.truth(output)
    if isinstance(label, NumberLabel):
        return [residuals_picture(output, truth, answers.numbers(output))]
    chances = answers.chances(output)
    if isinstance(label, MultiLabel):
        shown = label.classes[:SHOWN_CLASSES]
        found = class_counts(truth[:, : len(shown)], chances[:, : len(shown)])
        cells = [
            [name, *(f"{values[place]:,}" for values in found)] for place, name in enumerate(shown)
        ]
        header = ["class", "found", "overlooked", "invented"]
        caption = f"{output}: rows by class"
        if len(label.classes) > SHOWN_CLASSES:
            caption += f", the first {SHOWN_CLASSES} of {len(label.classes)}"
        return [classes_picture(output, found, shown), Table(caption, header, cells, (1, 2, 3))]
    counts = confusion(truth, chances.argmax(axis=1), len(label.classes))
    pairs = [
        [label.classes[true], label.classes[chosen], f"{rows:,}"]
        for true, chosen, rows in most_confused(counts, SHOWN_PAIRS)
    ]
    blocks: list[Block] = [confusion_picture(output, counts, label.classes)]
    if pairs:
        caption = f"{output}: the classes confused most often"
        blocks.append(Table(caption, ["in truth", "predicted", "rows"], pairs, (2,)))
    return blocks
