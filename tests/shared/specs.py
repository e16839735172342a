"""Specifications for tests: the small one as YAML, others from Python, and interfaces by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Specification, Training, load_specification
from tfx_fusion.modules.submodels.interface import Interface, LayerInfo, OutputInfo, TensorInfo
from tfx_fusion.modules.validation.names import specification_problems

Change = tuple[str, str]

WORDS = ("[UNK]", "red", "green", "blue", "very", "rather")

# Two pretrained models, of pictures and of text, whose features are joined to recognise a colour.
COLOURS = """\
name: colours
data:
  path: data/rows.csv
  split: {by: id, train: 0.7, eval: 0.3}
features:
  image: {type: image, column: image_path, shape: [8, 8, 3]}
  words: {type: text, column: transcript, vocabulary: models/words.txt, encoding: multi_hot}
labels:
  colour: {type: category, column: colour, classes: [red, green, blue]}
submodels:
  vision: {path: models/vision.keras, inputs: {image: image}, output: features}
  text: {path: models/text, inputs: {tokens: words}, output: features}
graph:
  joined: {merge: concatenate, inputs: [vision, text]}
  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: joined}
  scores: {layers: [Dense: {units: 3}], inputs: hidden}
outputs:
  colour: {from: scores, loss: categorical_crossentropy, metrics: [accuracy]}
training:
  batch_size: 16
  seed: 7
  stages:
    - {name: head, epochs: 3, learning_rate: 1e-2}
evaluation:
  thresholds: {colour: {accuracy: {min: 0.2}}}
publish: {path: serving}
"""


def changed(text: str, *changes: Change) -> str:
    """A text with pieces replaced, each `(old, new)` once; every old piece must be in it."""
    for old, new in changes:
        assert old in text, f"the specification does not hold {old!r}"
        text = text.replace(old, new, 1)
    return text


def colours(folder: Path, *changes: Change) -> Specification:
    """The small specification with pieces of its text replaced; its vocabulary exists."""
    return load_specification(write_colours(folder, *changes))


def write_colours(folder: Path, *changes: Change) -> Path:
    """Writes the small specification with pieces of its text replaced, and its vocabulary."""
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "words.txt").write_text("\n".join(WORDS) + "\n")
    file = folder / "fusion.yaml"
    file.write_text(changed(COLOURS, *changes))
    return file


def rewritten(file: Path, *changes: Change) -> Specification:
    """Replaces pieces of the text of a specification file, each once, and loads it."""
    file.write_text(changed(file.read_text(), *changes))
    return load_specification(file)


def specification_of(**sections: Any) -> Specification:
    """A specification of sections as a file has them; those that are not given play no part."""
    return Specification.model_validate(
        {
            "name": "small",
            "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 0.1}]},
            "publish": {"path": "serving"},
            **sections,
        }
    )


def numbers(graph: dict[str, Any], **sections: Any) -> Specification:
    """Vectors of four numbers, and an output of one number for some nodes of a graph.

    Args:
        graph: the nodes, as a file has them.
        sections: `features` is the names of the vectors (`a`, `b` and `c` unless given), `outputs`
            the node that each output is computed from (`{"y": "y"}`); others as in a file.
    """
    outputs = sections.pop("outputs", {"y": "y"})
    features = sections.pop("features", ("a", "b", "c"))
    error = "mean_squared_error"
    vector = {"type": "raw", "dtype": "float32", "shape": [4]}
    return specification_of(
        **{
            "features": {name: {**vector, "column": name} for name in features},
            "labels": {name: {"type": "number", "column": name} for name in outputs},
            "graph": graph,
            "outputs": {
                name: {"from": node, "loss": error, "metrics": [error]}
                for name, node in outputs.items()
            },
            **sections,
        }
    )


def interface(inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]) -> Interface:
    """The interface of a `.keras` file with a layer of weights for each output, all float32.

    Args:
        inputs: the shape of each input, without the batch.
        outputs: that of each output; each is also the name of its layer.
    """
    return Interface(
        format="keras",
        inputs={name: TensorInfo(shape=shape, dtype="float32") for name, shape in inputs.items()},
        outputs={
            name: OutputInfo(shape=shape, dtype="float32", layer=name)
            for name, shape in outputs.items()
        },
        layers={
            **{name: LayerInfo() for name in inputs},
            **{name: LayerInfo(inputs=tuple(inputs), weights={name: 1}) for name in outputs},
        },
        parameters=len(outputs),
    )


# Those of the models that the small specification names.
COLOUR_INTERFACES = {
    "vision": interface({"image": (8, 8, 3)}, {"features": (6,), "probabilities": (3,)}),
    "text": interface({"tokens": (6,)}, {"features": (4,), "probabilities": (3,)}),
}


def problems_of(path: Path) -> list[str]:
    """What a file is refused for when it is loaded."""
    with pytest.raises(SpecificationError) as caught:
        load_specification(path)
    return caught.value.problems


def line_of(path: Path, marker: str) -> int:
    """The line of a file in which a piece of text begins."""
    text = path.read_text()
    return text[: text.index(marker)].count("\n") + 1


def assert_reported(problem: str, expected: str) -> None:
    """The message starts with what is before the first ` … ` and then holds each other piece."""
    start, *pieces = expected.split(" … ")
    assert problem.startswith(start), problem
    rest = problem.removeprefix(start)
    for piece in pieces:
        assert piece in rest, problem
        rest = rest.partition(piece)[2]


def assert_refused(path: Path, marker: str, expected: str) -> None:
    """One problem only, with the file, the line of `marker` and the expected words."""
    found = problems_of(path)
    assert len(found) == 1, found
    assert_reported(found[0], f"{path}:{line_of(path, marker)}: {expected}")


def check_names(specification: Specification) -> None:
    """Raises SpecificationError with all that can be seen of a specification without Keras."""
    problems = specification_problems(specification)
    if problems:
        raise SpecificationError(problems)


def with_rate(specification: Specification, learning_rate: float) -> Specification:
    """A specification with one stage of one epoch, which trains new layers at some rate."""
    stage = {"name": "head", "epochs": 1, "learning_rate": learning_rate}
    training = Training.model_validate({"batch_size": 16, "seed": 7, "stages": [stage]})
    return specification.model_copy(update={"training": training})
