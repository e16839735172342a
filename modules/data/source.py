"""The part of a specification that says where the rows are and what they hold."""

from __future__ import annotations

from pathlib import Path

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import ColumnSplit, columns_of
from tfx_fusion.modules.spec.views import RowsView


class RowSource(RowsView):
    """The part of a specification that says what the rows are."""

    def at(self, path: Path) -> RowSource:
        """The same rows in another data file."""
        return self.changed(data=self.data.changed(path=path))

    def check_columns(self) -> None:
        """Raises SpecificationError with each column that is named and missing in the data.

        Raises RunError where the data file is missing or cannot be read.
        """
        found = data_file.columns(self.data.path)
        if found is None:
            return
        split = self.data.split
        wanted = [
            (f"{kind}.{name}", column)
            for kind, parts in (("features", self.features), ("labels", self.labels))
            for name, part in parts.items()
            for column in columns_of(part)
        ]
        wanted.append(("data.split", split.column if isinstance(split, ColumnSplit) else split.by))
        missing = [
            f"{key}: {self.data.path} has no column '{column}'; {suggestion(column, found)}"
            for key, column in wanted
            if column not in found
        ]
        if missing:
            raise SpecificationError(missing)
