"""How a component reads the examples and the Transform graph that others in a pipeline make."""

import json
from collections.abc import Mapping
from typing import Self

from tfx import types
from tfx.components.example_gen.utils import generate_output_split_names
from tfx.types.standard_component_specs import INPUT_CONFIG_KEY, OUTPUT_CONFIG_KEY

from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.errors import Problem, SpecificationError, suggestion
from tfx_fusion.modules.preprocessing.wanted import check_output_names
from tfx_fusion.modules.spec import Feature, Label
from tfx_fusion.modules.spec.base import Part

BINDING_KEY = "binding"


class Binding(Part):
    """What has other names in the examples and the Transform graph.

    `splits` has the name of the split to train on, `train`, and of that to measure on, `eval`;
    `names` has the Transform graph's output for a feature or label, where it has another name.
    """

    splits: dict[str, str]
    names: dict[str, str]

    @classmethod
    def of(
        cls,
        examples: types.BaseChannel,
        splits: Mapping[str, str] | None,
        names: Mapping[str, str] | None,
        features: Mapping[str, Feature],
        labels: Mapping[str, Label],
    ) -> Self:
        """The names in some examples, of which those that differ are given.

        Raises SpecificationError for what can be seen to be wrong before the pipeline runs.
        """
        given = dict(splits or {})
        wanted = {split: given.get(split, split) for split in SPLITS}
        problems = [
            Problem(f"splits.{name}", f"expected {' or '.join(SPLITS)}, found '{name}'")
            for name in given
            if name not in SPLITS
        ]
        known = _known_splits(examples)
        problems += [
            Problem(
                f"splits.{split}",
                f"the examples have no split '{name}'; {suggestion(name, known)}: give its name "
                "there in splits",
            )
            for split, name in wanted.items()
            if known and name not in known
        ]
        if problems:
            raise SpecificationError(problems)
        check_output_names(names or {}, features, labels)
        return cls(splits=wanted, names=dict(names or {}))


def _known_splits(examples: types.BaseChannel) -> list[str]:
    """The splits that an ExampleGen of TFX will write; empty where that is not known yet."""
    # Only an ExampleGen in the same pipeline; TFX has no public way from a channel to it.
    producer = getattr(examples, "_producer_component", None)
    parameters = getattr(producer, "exec_properties", {})
    given, made = (parameters.get(key) for key in (INPUT_CONFIG_KEY, OUTPUT_CONFIG_KEY))
    if not isinstance(given, str) or not isinstance(made, str):
        return []
    return generate_output_split_names(json.loads(given), json.loads(made))
