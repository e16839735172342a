"""How scored rows are written: CSV and Parquet with a column for each value, JSONL nested.

Columns: `row`; for a category `OUTPUT` (the likeliest class) and `OUTPUT.CLASS` for each class; for
several classes `OUTPUT` (those above 0.5, joined as in the data) and `OUTPUT.CLASS`; for a number
`OUTPUT`; `error`, the reason where a row has no prediction.
"""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tfx_fusion.modules.serving.predictor import Prediction
from tfx_fusion.modules.spec import MultiLabel, NumberLabel, Specification

ENDINGS = (".csv", ".jsonl", ".parquet")
# What a spreadsheet takes for a formula (OWASP, "CSV injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r")
ROWS_TOGETHER = 1024


class Table:
    """The table of a model's predictions, in the format of a file's ending.

    Text that a spreadsheet would run as a formula gets a `'` before it in CSV, unless `as_is`.
    """

    def __init__(self, specification: Specification, ending: str, as_is: bool = False) -> None:
        self.ending = ending
        self._as_is = as_is
        self._labels = {name: specification.label_of(name) for name in specification.outputs}
        self._schema = pa.schema(self._fields())

    def _fields(self) -> Iterator[tuple[str, pa.DataType]]:
        yield "row", pa.string()
        for name, label in self._labels.items():
            if isinstance(label, NumberLabel):
                yield name, pa.float64()
                continue
            yield name, pa.string()
            for text in label.classes:
                yield f"{name}.{text}", pa.float64()
        yield "error", pa.string()

    def write(self, answers: Iterable[Prediction], path: Path) -> None:
        """Writes a part of the table: CSV without its header, which `join` writes."""
        if self.ending == ".jsonl":
            with path.open("w", encoding="utf-8") as stream:
                for answer in answers:
                    content = {"row": answer.row_id, **answer.outputs}
                    if answer.error is not None:
                        content["error"] = answer.error
                    stream.write(json.dumps(content, ensure_ascii=False) + "\n")
        elif self.ending == ".csv":
            with path.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, self._schema.names)
                writer.writerows(map(self._cells, answers))
        else:
            iterator = map(self._flat, answers)
            with pq.ParquetWriter(path, self._schema) as parquet:
                while rows := list(islice(iterator, ROWS_TOGETHER)):
                    parquet.write_table(pa.Table.from_pylist(rows, self._schema))

    def join(self, parts: list[Path], path: Path) -> None:
        """Writes the whole table from its parts, in their order."""
        if self.ending == ".parquet":
            with pq.ParquetWriter(path, self._schema) as parquet:
                for part in parts:
                    with pq.ParquetFile(part) as file:
                        for group in range(file.num_row_groups):
                            parquet.write_table(file.read_row_group(group))
            return
        with path.open("w", encoding="utf-8", newline="") as stream:
            if self.ending == ".csv":
                csv.writer(stream).writerow(self._schema.names)
            for part in parts:
                with part.open(encoding="utf-8", newline="") as rows:
                    shutil.copyfileobj(rows, stream)

    def _cells(self, answer: Prediction) -> dict[str, Any]:
        """A row of CSV."""
        row = self._flat(answer)
        if self._as_is:
            return row
        return {
            name: f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
            for name, value in row.items()
        }

    def _flat(self, answer: Prediction) -> dict[str, Any]:
        row: dict[str, Any] = {"row": answer.row_id, "error": answer.error}
        for name, value in answer.outputs.items():
            label = self._labels[name]
            if isinstance(label, NumberLabel):
                row[name] = value
                continue
            if isinstance(label, MultiLabel):
                row[name] = label.separator.join(text for text in value if value[text] > 0.5)
            else:
                row[name] = max(value, key=lambda text: value[text])
            row.update({f"{name}.{text}": chance for text, chance in value.items()})
        return row
