"""The layer that turns text into what a text model takes, before the model's own first layers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras

from tfx_fusion.modules.spec.tokenizer import Contents


@keras.saving.register_keras_serializable(package="tfx_fusion")
class TextInput(keras.layers.Layer):
    """Text `(batch,)`, or a list of two, to token ids, mask and segments `(batch, length)`.

    `entries` says, by the name of each input of the text model, which of `ids`, `mask` and
    `segments` it takes, and in which dtype. The tokenizer itself is stored with the layer.
    """

    def __init__(
        self,
        tokenizer: str,
        length: int,
        entries: dict[str, tuple[str, str]],
        texts: int = 1,
        name: str | None = None,
    ) -> None:
        """`tokenizer` is `Contents` as JSON, `texts` 1 or 2."""
        super().__init__(name=name, dtype="float32", autocast=False, trainable=False)
        self.supports_jit = False  # XLA knows no text
        self._tokenizer, self._length, self._texts = tokenizer, length, texts
        self._entries = {entry: tuple(wanted) for entry, wanted in entries.items()}
        self._tokens: Any = None
        self._resource: Any = None  # as an attribute, for TensorFlow to track and save
        self.built = True

    def call(self, inputs: Any) -> dict[str, Any]:
        if self._tokens is None:
            # Imported by name: a check of a specification loads this file without TensorFlow.
            tokens = importlib.import_module("tfx_fusion.modules.tokens.text_tokens")
            contents = Contents.from_json(self._tokenizer)
            self._tokens = tokens.TextTokens(contents, self._length, self._texts, self._track)
        found = self._tokens(inputs if isinstance(inputs, list | tuple) else [inputs])
        return {
            entry: keras.ops.cast(found[output], dtype)
            for entry, (output, dtype) in self._entries.items()
        }

    def _track(self, make: Callable[[], Any]) -> Any:
        self._resource = make()
        return self._resource

    def compute_output_spec(self, inputs: Any) -> dict[str, keras.KerasTensor]:
        return {
            entry: keras.KerasTensor((None, self._length), dtype=dtype)
            for entry, (_, dtype) in self._entries.items()
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "tokenizer": self._tokenizer,
            "length": self._length,
            "entries": self._entries,
            "texts": self._texts,
        }
