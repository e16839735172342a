"""The labels of tf.Examples as formulas take them: by the model, or read from the rows themselves.

A category is the index of its class, `(rows,)` int64; a number `(rows, 1)` float32; several classes
`(rows, classes)` float32, 1 for each that a row has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfx_fusion.modules.errors import RunError, suggestion
from tfx_fusion.modules.spec import CategoryLabel, Label, MultiLabel
from tfx_fusion.modules.spec.evaluated import Evaluated
from tfx_fusion.modules.training.exported import ExampleRows, ExportedModel, values_of


def read_labels(task: Evaluated, model: ExportedModel, rows: ExampleRows) -> dict[str, np.ndarray]:
    """The labels of some rows by output.

    Raises RunError, with the row, where one is missing or is no value of its label.
    """
    try:
        by_model = model.labels(rows) if model.has_labels else {}
    except RunError:
        for output in task.outputs:  # where the rows show what is wrong, the message does
            name, label = task.label_name(output), task.label_of(output)
            for row, row_id in zip(rows.features, rows.ids, strict=True):
                if feature_of(name, label, row) in row:
                    _label(name, label, row, row_id)
        raise
    found: dict[str, np.ndarray] = {}
    for output in task.outputs:
        name, label = task.label_name(output), task.label_of(output)
        if name in by_model:
            found[output] = by_model[name]
            _check(name, label, found[output], rows)
        else:
            found[output] = np.stack(
                [_label(name, label, *row) for row in zip(rows.features, rows.ids, strict=True)]
            )
    return found


def feature_of(name: str, label: Label, row: Mapping[str, Any]) -> str:
    """The feature of a tf.Example that holds a label: its name, or the column it is read from."""
    return name if name in row else label.column


def _label(name: str, label: Label, row: Mapping[str, Any], row_id: str) -> np.ndarray:
    feature = feature_of(name, label, row)
    values = values_of(row[feature]) if feature in row else ()
    where = f"{row_id}: the label '{name}'"
    if isinstance(label, MultiLabel):
        return _several(label, values, where, feature in row)
    if len(values) != 1:
        hint = "" if feature in row else f"; {suggestion(feature, row)}"
        raise RunError(f"{where}: expected one value of '{feature}', found {len(values)}{hint}")
    if isinstance(label, CategoryLabel):
        return np.array(_class(label, values[0], where), np.int64)
    if isinstance(values[0], bytes) or not np.isfinite(values[0]):
        raise RunError(f"{where}: expected a finite number, found {_shown(values[0])}")
    return np.array([values[0]], np.float32)


def _class(label: CategoryLabel | MultiLabel, value: Any, where: str) -> int:
    """The index of a class, which is given by its name or as an index."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else f"{value:g}"
    if text in label.classes:
        return label.classes.index(text)
    if not isinstance(value, bytes) and value in range(len(label.classes)):
        return int(value)
    raise RunError(
        f"{where} is {_shown(value)}, none of its classes {', '.join(label.classes)}: correct the "
        "data, or list the class"
    )


def _several(label: MultiLabel, values: Any, where: str, is_there: bool) -> np.ndarray:
    if not is_there:
        raise RunError(f"{where} is missing")
    has = np.zeros(len(label.classes), np.float32)
    if not values or isinstance(values[0], bytes):  # the names of the classes that a row has
        names = [name for cell in values for name in cell.decode().split(label.separator)]
        for name in filter(None, map(str.strip, names)):
            has[_class(label, name.encode(), where)] = 1
        return has
    if len(values) != len(has) or not set(values) <= {0, 1}:
        raise RunError(f"{where}: expected 0 or 1 for each of {len(has)} classes, found {values}")
    return np.array(values, np.float32)


def _check(name: str, label: Label, found: np.ndarray, rows: ExampleRows) -> None:
    """Raises RunError for the first label that is no value, of those that a model has read."""
    wrong = ~np.isfinite(found.reshape(len(rows), -1).astype(float)).all(axis=1)
    if isinstance(label, CategoryLabel):
        wrong |= ~np.isin(found.reshape(len(rows)), np.arange(len(label.classes)))
    if not wrong.any():
        return
    place = int(np.argmax(wrong))
    # Where the row shows what it holds, the message does.
    _label(name, label, rows.features[place], rows.ids[place])
    raise RunError(f"{rows.ids[place]}: the label '{name}' is none that the model knows")


def _shown(value: Any) -> str:
    return repr(value.decode(errors="replace")) if isinstance(value, bytes) else f"{value:g}"
