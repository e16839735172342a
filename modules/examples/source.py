"""The part of a specification that says where the rows are and what stands in them."""

from __future__ import annotations

from modules.errors import RunError
from modules.examples import manifest
from modules.spec import ColumnSplit, Data, Feature, Label, Specification, columns_of
from modules.spec.base import Part


class RowSource(Part):
    """The part of a specification that says what the rows are."""

    data: Data
    features: dict[str, Feature]
    labels: dict[str, Label]

    @classmethod
    def of(cls, specification: Specification) -> RowSource:
        """The rows that a specification describes."""
        return cls(
            data=specification.data,
            features=specification.features,
            labels=specification.labels,
        )

    def check_columns(self) -> None:
        """Raises RunError with every column that the specification names and the data lack."""
        found = manifest.columns(self.data.path)
        if found is None:
            return
        wanted = {
            f"{kind}.{name}": column
            for kind, parts in (("features", self.features), ("labels", self.labels))
            for name, part in parts.items()
            for column in columns_of(part)
        }
        split = self.data.split
        wanted["data.split"] = split.column if isinstance(split, ColumnSplit) else split.by
        missing = [
            f"'{column}' (for {key})" for key, column in wanted.items() if column not in found
        ]
        if missing:
            raise RunError(
                f"{self.data.path}: expected the columns {', '.join(missing)}; "
                f"found {', '.join(found)}"
            )
