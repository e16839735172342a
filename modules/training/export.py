"""The published form: one SavedModel from raw features to predictions, the Transform graph inside.

Signatures:
  `serving_default`: named raw tensors, as TF Serving's REST and gRPC clients send them, to
      `{OUTPUT}_probabilities` (batch, classes) and `{OUTPUT}_classes` (batch, classes) for a
      category or several of them, `{OUTPUT}` (batch, 1) for a number.
  `predict_examples`: serialized tf.Examples (batch,) to `{OUTPUT}`, for the evaluation.
  `transform_labels`: serialized tf.Examples (batch,) to the labels as the loss takes them.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfx_fusion.modules.files import whole_folder
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.keras_compat import all_layers
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import CategoryLabel, Fusion, NumberLabel
from tfx_fusion.modules.submodels.text_input import TextInput
from tfx_fusion.modules.tokens.loading import load_saved_model
from tfx_fusion.modules.training.frozen_proof import (
    Digests,
    digests,
    named_like,
    verify_unchanged,
)
from tfx_fusion.modules.training.losses import is_binary
from tfx_fusion.modules.training.trained_values import (
    Trained,
    trained_variables,
    values_of,
    write_trained,
)
from tfx_fusion.modules.training.unusable_rows import UnusableRow

EXAMPLES_SIGNATURE = "predict_examples"
LABELS_SIGNATURE = "transform_labels"
# TF Serving copies this folder with the model and ignores unknown files in it.
SPECIFICATION_FILE = "assets.extra/specification.json"


def export(
    specification: Fusion,
    fused: FusedModel,
    transform: TransformGraph,
    frozen: Digests,
    submodel_digests: Mapping[str, str],
    path: Path,
    unusable: Collection[UnusableRow] = (),
) -> Digests:
    """Saves the whole model to `path`, whole or not at all, and verifies the frozen part in it.

    Beside it lie the specification, the `unusable` rows that training has left out, and for a warm
    start the trained values with the digests of the sub-models' files. Returns the digests of the
    frozen tensors in the saved model. Raises RunError where one differs from the imported one.
    """
    with whole_folder(path) as aside:
        tf.saved_model.save(
            _tracked(fused, transform, frozen),
            str(aside),
            signatures=_signatures(specification, fused.model, transform),
        )
        loaded = load_saved_model(str(aside))
        tensors = {name: list(loaded.frozen[name]) for name in frozen}
        exported = digests(named_like(frozen, tensors))
        verify_unchanged(frozen, exported, "in the exported model")
        extra = aside / SPECIFICATION_FILE
        extra.parent.mkdir(exist_ok=True)
        extra.write_text(json.dumps(specification.model_dump(mode="json"), indent=1))
        values = values_of(trained_variables(fused, frozen))
        write_trained(Trained(values, dict(submodel_digests), tuple(unusable)), aside)
    return exported


def _tracked(fused: FusedModel, transform: TransformGraph, frozen: Digests) -> tf.Module:
    """What the saved model must hold, as a plain module.

    Not the Keras model itself: attaching it would drag its optimizer's slots along.
    """
    module = tf.Module(name="fused")
    module.transform = transform
    module.frozen = {
        name: [fused.submodels[name].frozen_variables()[path].value for path in tensors]
        for name, tensors in frozen.items()
    }
    module.others = [variable.value for variable in fused.model.variables]
    # SavedModel sub-models may own lookup tables, which must be saved with them.
    module.resources = [
        layer.loaded for layer in fused.submodels.values() if layer.loaded is not None
    ]
    # The vocabularies of Keras layers are tables, no variables.
    lookups = (
        keras.layers.StringLookup,
        keras.layers.IntegerLookup,
        keras.layers.TextVectorization,
        TextInput,
    )
    module.lookups = [layer for layer in all_layers(fused.model) if isinstance(layer, lookups)]
    return module


def _signatures(
    specification: Fusion, model: keras.Model, transform: TransformGraph
) -> dict[str, Any]:
    serialized = tf.TensorSpec((None,), tf.string, name="examples")
    features = list(model.input)
    raw = transform.input_specs(features)
    labels = {specification.label_name(name) for name in specification.outputs}

    def predict(tensors: dict[str, Any]) -> dict[str, Any]:
        return model({name: tensors[name] for name in features}, training=False)

    @tf.function(input_signature=[raw], autograph=False)
    def serving_default(inputs: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        # TF Serving runs a request of any shape, and what is added to another shape may spread.
        inputs = {name: tf.ensure_shape(given, raw[name].shape) for name, given in inputs.items()}
        for name, prediction in predict(transform(inputs, features)).items():
            answer.update(_answer(specification, name, prediction))
        return answer

    @tf.function(input_signature=[serialized], autograph=False)
    def predict_examples(examples: Any) -> dict[str, Any]:
        return predict(transform.parse(examples, features))

    @tf.function(input_signature=[serialized], autograph=False)
    def transform_labels(examples: Any) -> dict[str, Any]:
        tensors = transform.parse(examples)
        return {name: tensors[name] for name in labels}

    return {
        "serving_default": serving_default,
        EXAMPLES_SIGNATURE: predict_examples,
        LABELS_SIGNATURE: transform_labels,
    }


def _answer(specification: Fusion, name: str, prediction: Any) -> dict[str, Any]:
    label = specification.label_of(name)
    if isinstance(label, NumberLabel):
        return {name: prediction}
    if isinstance(label, CategoryLabel) and is_binary(specification, name):
        prediction = tf.concat([1.0 - prediction, prediction], axis=1)
    classes = tf.tile(tf.constant([label.classes]), [tf.shape(prediction)[0], 1])
    return {f"{name}_probabilities": prediction, f"{name}_classes": classes}
