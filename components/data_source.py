"""Which data a model came from: the ExampleGens before it in the pipeline, and what they wrote.

An executor has no handle of ML Metadata. So the ExampleGens are found in the pipeline itself when
it is built, and what they read in the properties that their drivers give their artifacts, which
every orchestrator hands on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.example_gen import utils
from tfx.proto import example_gen_pb2
from tfx.types import channel, standard_artifacts, standard_component_specs
from tfx.utils import proto_utils

from tfx_fusion.components.channels import described_data
from tfx_fusion.modules.registry.version_record import DataSource, Span

SOURCE_URI = "artifact_uri"  # an Importer's
UNKNOWN = "unknown: "


def examples_before(given: types.BaseChannel) -> list[types.BaseChannel]:
    """The examples that no other examples were made of, of all that a channel depends on."""
    found: dict[int, types.BaseChannel] = {}
    seen: set[int] = set()
    waiting = [given]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        before = list(_inputs(one))
        is_examples = one.type is standard_artifacts.Examples
        if is_examples and not any(i.type is standard_artifacts.Examples for i in before):
            found[id(one)] = one
        waiting += before
    return list(found.values())


def _inputs(given: types.BaseChannel) -> Iterator[types.BaseChannel]:
    """What a channel is made of: the inputs of its producer, or the channels that it unites."""
    if isinstance(given, channel.UnionChannel):
        yield from given.channels
    elif isinstance(given, channel.OutputChannel):
        yield from given.producer_component.inputs.values()


def place_of(examples: types.BaseChannel) -> str:
    """What the producer of examples reads: a folder, a URI or queries; or why it is unknown."""
    if not isinstance(examples, channel.OutputChannel):
        return f"{UNKNOWN}the examples are no output of a component of this pipeline"
    node = examples.producer_component
    parameters = node.exec_properties
    for key in (standard_component_specs.INPUT_BASE_KEY, SOURCE_URI):
        if parameters.get(key):
            place = parameters[key]
            return place if isinstance(place, str) else f"{UNKNOWN}{key} is given when a run starts"
    config = parameters.get(standard_component_specs.INPUT_CONFIG_KEY)
    if isinstance(config, str):  # an ExampleGen of queries has no folder
        splits = proto_utils.json_to_proto(config, example_gen_pb2.Input()).splits
        if splits:
            return "; ".join(f"{split.name}: {split.pattern}" for split in splits)
    return f"{UNKNOWN}{node.id} does not say what it reads"


def data_source(examples: Sequence[types.Artifact], places: str) -> DataSource:
    """The data that some examples were made from.

    Args:
        examples: the artifacts of ExampleGens, one for each span.
        places: what these read, as `place_of` says of each, in JSON.
    """
    described = [described_data(artifact) for artifact in examples]
    if len(described) == 1 and described[0].path and described[0].fingerprint:
        return described[0]  # of this project's own ExampleGen
    if not examples:
        reason = f"{UNKNOWN}the model has no ExampleGen before it in this pipeline"
        return DataSource(path=reason, fingerprint=reason)
    spans = tuple(map(_span, examples))
    prints = [span.fingerprint for span in spans]
    whole = hashlib.sha256("\n".join(prints).encode()).hexdigest()
    return DataSource(
        path="; ".join(dict.fromkeys(json.loads(places))),
        fingerprint=prints[0] if len(prints) == 1 else whole,
        spans=spans,
    )


def _span(artifact: types.Artifact) -> Span:
    return Span(
        uri=artifact.uri,
        span=_number(artifact, utils.SPAN_PROPERTY_NAME),
        version=_number(artifact, utils.VERSION_PROPERTY_NAME),
        fingerprint=artifact.get_string_custom_property(utils.FINGERPRINT_PROPERTY_NAME)
        or _digest(Path(artifact.uri)),
    )


def _number(artifact: types.Artifact, name: str) -> int | None:
    if artifact.has_custom_property(name):
        return int(artifact.get_int_custom_property(name))
    declared: Any = artifact.mlmd_artifact.properties
    return int(declared[name].int_value) if name in declared else None


def _digest(folder: Path) -> str:
    """Of the examples themselves, where their ExampleGen gives no fingerprint of what it read."""
    digest = hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        return f"{UNKNOWN}{folder} holds no file"
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256 of the examples: {digest.hexdigest()}"
