"""Where a sub-model comes from and how it is connected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, ValidationInfo, model_validator

from tfx_fusion.modules.spec.base import LocalPath, Name, Part, Reference, from_folder
from tfx_fusion.modules.spec.card import Words

NAMED_WEIGHTS = ("imagenet", "random")
# The inputs of a preset with its tokenizer before it: one text, or two of each row.
TEXTS = ("text", "text_pair")
# Where KerasHub may fetch a preset from.
HANDLES = ("kaggle://", "hf://", "modelscope://")


def _named_or_file(weights: str, info: ValidationInfo) -> str:
    if weights in NAMED_WEIGHTS:
        return weights
    if not weights.endswith(".h5"):
        raise ValueError(
            "expected 'imagenet', 'random' or the path of a .weights.h5 or .h5 file, found "
            f"'{weights}'"
        )
    return str(from_folder(Path(weights), info))


def _name_or_folder(preset: str, info: ValidationInfo) -> str:
    """A folder is recognised by its slash: `./bert`."""
    if preset.startswith(HANDLES) or not ("/" in preset or preset.startswith(".")):
        return preset
    if "://" in preset:
        raise ValueError(
            f"expected a name, a folder (./bert) or one of {', '.join(HANDLES)}, found '{preset}'"
        )
    return str(from_folder(Path(preset), info))


Weights = Annotated[str, Field(min_length=1), AfterValidator(_named_or_file)]
Preset = Annotated[str, Field(min_length=1), AfterValidator(_name_or_folder)]

Operation = Annotated[str, Field(pattern=r"^[A-Za-z][\w>]*$")]
CustomObject = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


# Where a sub-model can come from, and the keys that go with only some of these.
SOURCES = ("path", "same_as", "application", "preset")
GOES_WITH = {
    "signature": ("path",),
    "custom_objects": ("path",),
    "allow_ops": ("path",),
    "origin": ("path",),
    "licence": ("path", "application", "preset"),
    "config": ("application", "preset"),
    "weights": ("application",),
    "task": ("preset",),
}


class Submodel(Part):
    """A pretrained model: a `.keras` file or a SavedModel folder.

    `inputs` connects each of its inputs to a feature, a node or another sub-model. `output` picks
    a named output where there are several, or an inner layer to cut at. `signature` picks one of
    a SavedModel's signatures. `custom_objects` are the classes of your own that a `.keras` file
    may hold, as `package.module:Class`; nothing else but Keras and KerasHub is imported for it.
    `allow_ops` are operations of TensorFlow that a SavedModel may hold beside those that are known
    to be safe; the report of a run lists them.
    `origin` is recorded with the model in place of its path: where it was downloaded, for instance.
    `licence` is shown in the report of a run.

    In place of `path`, `application` names a function of keras.applications and `config` its
    arguments; `weights` are `imagenet` (unless given), `random`, or a file. `preset` is one of
    KerasHub's by name, or a folder that its `save_to_preset` wrote, with a slash in it (`./bert`);
    `config` goes to `from_preset`. A preset of text takes `text: FEATURE`, or `text` and
    `text_pair`, in place of its own inputs: the tokenizer and packer that it brings then run in the
    graph, cut to `sequence_length` of `config`. `task: text_embedder` makes it a sentence embedder
    with one output, `embedding`, pooled and normalized as the preset says. `same_as` uses another
    sub-model once more, with the same weights.
    """

    path: LocalPath | None = None
    same_as: Name | None = None
    application: Annotated[str, Field(min_length=1)] | None = None
    preset: Preset | None = None
    task: Literal["text_embedder"] | None = None
    inputs: dict[str, Reference] = Field(min_length=1)
    output: str | None = None
    signature: str | None = None
    custom_objects: tuple[CustomObject, ...] = ()
    allow_ops: tuple[Operation, ...] = ()
    origin: str | None = None
    licence: Words | None = None
    config: dict[str, JsonValue] = {}
    weights: Weights | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Submodel:
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                "give one of 'path', 'same_as', 'application' and 'preset', found "
                f"{' and '.join(map(repr, given)) or 'none'}"
            )
        for key, sources in GOES_WITH.items():
            if getattr(self, key) and given[0] not in sources:
                raise ValueError(
                    f"'{key}' goes with {' or '.join(map(repr, sources))}, not with '{given[0]}'"
                )
        return self

    @property
    def source(self) -> tuple[str, Path | None]:
        """The key that says where the model comes from, with the local file or folder it names."""
        if self.application is not None:
            local = self.weights is not None and self.weights not in NAMED_WEIGHTS
            return ("weights", Path(self.weights or "")) if local else ("application", None)
        if self.preset is not None:
            return "preset", Path(self.preset) if Path(self.preset).is_absolute() else None
        return "path", self.path
