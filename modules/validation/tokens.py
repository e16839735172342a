"""Whether the ids and the length of features fit the embeddings of the models that take them."""

from collections.abc import Iterator, Mapping

from tfx_fusion.modules.errors import Problem, UserError
from tfx_fusion.modules.spec import Feature, Fusion
from tfx_fusion.modules.spec.topology import source_of
from tfx_fusion.modules.submodels.interface import Interface

SEGMENTS = 2


def token_problems(specification: Fusion, interfaces: Mapping[str, Interface]) -> Iterator[Problem]:
    """Each input of a sub-model that would be given ids without an embedding, or too many steps.

    TensorFlow reads zeros for such ids on a GPU, and fails in training on a CPU.
    """
    for name, submodel in specification.submodels.items():
        interface = interfaces.get(specification.owner(name))
        if interface is None:
            continue
        for entry, reference in submodel.inputs.items():
            feature = specification.features.get(source_of(reference))
            if feature is None:
                continue
            key = f"submodels.{name}.inputs.{entry}"
            below, given = interface.ids_below.get(entry), _ids_below(feature, reference)
            if below is not None and given is not None and given > below:
                yield Problem(
                    key,
                    f"the model has embeddings of the ids 0 to {below - 1:,}, '{reference}' "
                    f"goes to {given - 1:,}: give the feature the vocabulary that the model was "
                    "trained on",
                )
            length, most = getattr(feature, "length", None), interface.most_steps
            if length is not None and most is not None and length > most:
                yield Problem(
                    key,
                    f"the model takes {most:,} tokens at most, '{reference}' has {length:,}: write "
                    f"length: {most}",
                )


def _ids_below(feature: Feature, reference: str) -> int | None:
    """The first id that a reference to a feature never gives; None where it gives no ids."""
    if reference.endswith(".mask"):
        return None
    if reference.endswith(".segments"):
        return SEGMENTS
    try:
        return feature.ids_below()
    except UserError:
        return None  # a file that cannot be read is reported with the feature
