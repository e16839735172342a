"""The rows with the largest errors, as a person would see them: pictures, text, numbers."""

import tensorflow as tf

from tfx_fusion.modules.data.file_list import example_files
from tfx_fusion.modules.report.answers import ROW_ID, YES, Answers
from tfx_fusion.modules.report.blocks import Example, Picture, data_uri
from tfx_fusion.modules.spec import (
    CategoryLabel,
    ImageFeature,
    MultiLabel,
    NumberLabel,
    missing_name,
)

MOST_EXAMPLES = 12  # of all outputs together
SIDE = 160  # pixels
SHOWN_CHARACTERS = 300
SHOWN_NUMBERS = 8


def worst_rows(answers: Answers, output: str, most: int) -> list[int]:
    """The places of the rows with a wrong prediction, the worst first; of equals the first."""
    wrong = answers.wrongness(output)
    order = sorted(range(len(wrong)), key=lambda row: (-wrong[row], row))
    return [row for row in order[:most] if wrong[row] > 0]


def worst_examples(answers: Answers) -> dict[str, list[Example]]:
    """By output, the rows with the largest errors; all outputs share `MOST_EXAMPLES`."""
    outputs = list(answers.specification.outputs)[:MOST_EXAMPLES]
    chosen = {name: worst_rows(answers, name, MOST_EXAMPLES // len(outputs)) for name in outputs}
    records = _records(answers.examples, {row for rows in chosen.values() for row in rows})
    return {
        output: [_example(answers, output, row, records[row]) for row in rows]
        for output, rows in chosen.items()
    }


def _records(folder: str, rows: set[int]) -> dict[int, tf.train.Example]:
    """The tf.Examples at some places; the others are not parsed."""
    found = {}
    dataset = tf.data.TFRecordDataset(example_files(folder)).take(max(rows, default=-1) + 1)
    for place, record in enumerate(dataset):
        if place in rows:
            found[place] = tf.train.Example.FromString(record.numpy())
    return found


def _example(answers: Answers, output: str, row: int, record: tf.train.Example) -> Example:
    pictures, features = [], []
    for name, feature in answers.specification.features.items():
        values = _values(record, name)
        if feature.missing and _values(record, missing_name(name)) == [1]:
            features.append((name, "missing"))
        elif isinstance(feature, ImageFeature):
            pictures.append(Picture(thumbnail(values[0], feature), f"{name} of {_row_id(record)}"))
        else:
            features.append((name, shown_values(values)))
    truth, predicted = _in_words(answers, output, row)
    return Example(_row_id(record), pictures, features, truth, predicted)


def _values(record: tf.train.Example, name: str) -> list:
    feature = record.features.feature[name]
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def _row_id(record: tf.train.Example) -> str:
    return _values(record, ROW_ID)[0].decode("utf-8", "replace")


def shown_values(values: list) -> str:
    """The values of a feature in a few words."""
    if len(values) == 1 and isinstance(values[0], bytes):
        text = values[0].decode("utf-8", "replace")
        return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
    parts = [
        value.decode("utf-8", "replace")[:SHOWN_CHARACTERS]
        if isinstance(value, bytes)
        else f"{value:.4g}"
        for value in values[:SHOWN_NUMBERS]
    ]
    more = f", … ({len(values):,} in all)" if len(values) > SHOWN_NUMBERS else ""
    return ", ".join(parts) + more


def thumbnail(encoded: bytes, feature: ImageFeature) -> str:
    """An image as the model may see it, at most `SIDE` pixels to a side, as a data URI."""
    pixels = tf.io.decode_image(encoded, channels=feature.shape[2], expand_animations=False)
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    if scale < 1:
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        smaller = tf.image.resize(pixels, size, method="area")
        pixels = tf.cast(tf.round(smaller), tf.uint8)
    return data_uri(tf.io.encode_png(pixels).numpy(), "image/png")


def _in_words(answers: Answers, output: str, row: int) -> tuple[str, str]:
    """The truth of a row and what was predicted, in words."""
    label = answers.specification.label_of(output)
    truth = answers.truth(output)[row]
    if isinstance(label, NumberLabel):
        return f"{truth:.6g}", f"{answers.numbers(output)[row]:.6g}"
    chances = answers.chances(output)[row]
    if isinstance(label, CategoryLabel):
        best = int(chances.argmax())
        return (
            f"{label.classes[truth]} ({chances[truth]:.1%})",
            f"{label.classes[best]} ({chances[best]:.1%})",
        )
    return _several(label, truth, chances), _several(label, chances > YES, chances)


def _several(label: MultiLabel, has: list[bool], chances: list[float]) -> str:
    parts = [
        f"{name} ({chance:.1%})"
        for name, yes, chance in zip(label.classes, has, chances, strict=True)
        if yes
    ]
    return ", ".join(parts) or "no class"
