"""What the fused model, its losses and messages take of a Transform graph, by name."""

from collections.abc import Mapping
from typing import NamedTuple

from tfx_fusion.modules.errors import Problem, SpecificationError, suggestion
from tfx_fusion.modules.spec import (
    CategoryLabel,
    Feature,
    Label,
    MultiLabel,
    length_name,
    may_be_missing,
    missing_name,
    variable_sequences,
    weighted_labels,
    weights_name,
)


class Wanted(NamedTuple):
    """What the fused model, a loss or a message takes; the shape leaves the batch out.

    `key` is that of the specification. A label of `classes` is an index, or the text of a class.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.dtype} (batch{''.join(f', {size}' for size in self.shape)})"


def wanted_names(features: Mapping[str, Feature], labels: Mapping[str, Label]) -> list[str]:
    """All that can be taken from a Transform graph for some features and labels.

    Tokens of texts (`words.ids`), lengths of variable sequences, which rows lack a feature
    (`image.missing`), and row weights of labels are among them.
    """
    return [
        *(name for key, feature in features.items() for name in feature.references(key)),
        *map(length_name, variable_sequences(features)),
        *map(missing_name, may_be_missing(features)),
        *labels,
        *map(weights_name, weighted_labels(labels)),
    ]


def check_output_names(
    names: Mapping[str, str], features: Mapping[str, Feature], labels: Mapping[str, Label]
) -> None:
    """Raises SpecificationError for each name that no feature or label has."""
    wanted = wanted_names(features, labels)
    problems = [
        Problem(
            f"names.{name}", f"there is no feature or label '{name}'; {suggestion(name, wanted)}"
        )
        for name in names
        if name not in wanted
    ]
    if problems:
        raise SpecificationError(problems)


def wanted_columns(
    features: Mapping[str, Feature], labels: Mapping[str, Label]
) -> dict[str, Wanted]:
    """What of each of `wanted_names` is taken."""
    found: dict[str, Wanted] = {}
    for name, feature in features.items():
        key = f"features.{name}"
        for reference, tensor in feature.tensors(name).items():
            found[reference] = Wanted(key, tensor.shape, tensor.dtype)
        found[length_name(name)] = found[missing_name(name)] = Wanted(key, (), "int64")
    for name, label in labels.items():
        key = f"labels.{name}"
        if isinstance(label, CategoryLabel):
            found[name] = Wanted(key, (), "int64", label.classes)
        else:
            width = len(label.classes) if isinstance(label, MultiLabel) else 1
            found[name] = Wanted(key, (width,), "float32")
        found[weights_name(name)] = Wanted(key, (), "float32")
    return {name: found[name] for name in wanted_names(features, labels)}
