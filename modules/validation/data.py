"""Whether vocabularies fit their features, and the checks of the data what is measured."""

from collections.abc import Iterator

from tfx_fusion.modules.errors import Problem, UserError, suggestion
from tfx_fusion.modules.spec import Fusion, TextFeature, drifting
from tfx_fusion.modules.spec.vocabulary import PADDING, read_vocabulary


def data_problems(specification: Fusion) -> Iterator[Problem]:
    """Every invalid vocabulary, and every name in `data.checks` of which no drift is measured."""
    for name, feature in specification.features.items():
        if isinstance(feature, TextFeature):
            yield from _vocabulary_problems(f"features.{name}.vocabulary", feature)
    measured = drifting(specification.features, specification.labels)
    for name in specification.data.checks.drift if specification.data else ():
        key = f"data.checks.drift.{name}"
        part = specification.features.get(name) or specification.labels.get(name)
        if part is None:
            hint = suggestion(name, {*specification.features, *specification.labels})
            yield Problem(key, f"no feature or label has this name; {hint}", undefined=name)
        elif name not in measured:
            yield Problem(
                key, f"drift is measured of classes and numbers, not of type {part.type}; remove it"
            )


def _vocabulary_problems(key: str, feature: TextFeature) -> Iterator[Problem]:
    if feature.vocabulary is None:
        return
    try:
        words = read_vocabulary(feature.vocabulary)
    except UserError as error:
        yield Problem(key, str(error))
        return
    if feature.encoding == "ids" and words[0] not in PADDING:
        yield Problem(
            key,
            "encoding 'ids' pads with id 0, so the first line must be empty or [PAD], found "
            f"'{words[0]}'",
        )
