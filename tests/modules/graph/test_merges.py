"""Each merge against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfx_fusion.modules.graph.merges import MERGES, check_inputs, new_merge
from tfx_fusion.modules.spec.specification import MERGES as SPECIFIED

RANDOM = np.random.default_rng(1)
A, B, C = (RANDOM.normal(size=(5, 4)).astype("float32") for _ in range(3))
WIDE = RANDOM.normal(size=(5, 7)).astype("float32")


def merged(merge: str, *inputs: np.ndarray, **config: Any) -> np.ndarray:
    return np.asarray(new_merge(merge, "joined", config)(list(inputs)))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("merge", "inputs", "expected"),
    [
        ("concatenate", (A, WIDE), np.concatenate([A, WIDE], axis=1)),
        ("add", (A, B, C), A + B + C),
        ("multiply", (A, B, C), A * B * C),
        ("average", (A, B, C), (A + B + C) / 3),
        ("maximum", (A, B, C), np.maximum(np.maximum(A, B), C)),
        ("dot", (A, B), (A * B).sum(axis=1, keepdims=True)),
        ("bilinear", (A, WIDE), np.einsum("na,nb->nab", A, WIDE).reshape(5, -1)),
    ],
)
def test_a_merge_without_weights_is_its_formula(
    merge: str, inputs: tuple[np.ndarray, ...], expected: np.ndarray
) -> None:
    np.testing.assert_allclose(merged(merge, *inputs), expected, rtol=1e-5, atol=1e-6)


def test_gated_is_the_sum_of_branches_weighed_by_learned_gates() -> None:
    layer = new_merge("gated", "joined", {})
    found = np.asarray(layer([A, B, C]))
    kernel, bias = (np.asarray(weight) for weight in layer.trainable_weights)
    gates = softmax(np.concatenate([A, B, C], axis=1) @ kernel + bias)
    expected = gates[:, :1] * A + gates[:, 1:2] * B + gates[:, 2:] * C
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_attention_is_the_mean_of_branches_that_attend_to_each_other() -> None:
    layer = new_merge("attention", "joined", {})
    found = np.asarray(layer([A, B, C]))
    query, query_bias, key, key_bias, value, value_bias, out, out_bias = (
        np.asarray(weight).reshape(-1, 4) if np.ndim(weight) == 3 else np.asarray(weight).ravel()
        for weight in layer.trainable_weights
    )
    tokens = np.stack([A, B, C], axis=1)
    scores = (tokens @ query + query_bias) @ np.swapaxes(tokens @ key + key_bias, 1, 2) / 2.0
    attended = softmax(scores) @ (tokens @ value + value_bias) @ out + out_bias
    np.testing.assert_allclose(found, (tokens + attended).mean(axis=1), rtol=1e-4, atol=1e-5)


EQUAL = [merge for merge in MERGES if merge not in ("concatenate", "bilinear")]


@pytest.mark.parametrize("merge", EQUAL)
def test_a_merge_of_equal_shapes_refuses_others_even_where_keras_would_stretch_them(
    merge: str,
) -> None:
    check_inputs(merge, [A, B])
    for other in (WIDE, A[:, :1]):
        with pytest.raises(ValueError, match="it needs equal shapes"):
            check_inputs(merge, [A, other])


@pytest.mark.parametrize("merge", ["gated", "attention", "bilinear"])
def test_a_merge_of_vectors_refuses_other_ranks(merge: str) -> None:
    steps = np.zeros((5, 2, 4), "float32")
    with pytest.raises(ValueError, match=rf"{merge} needs (two )?vectors, received"):
        merged(merge, steps, steps)


def test_bilinear_takes_two() -> None:
    with pytest.raises(ValueError, match="bilinear needs two vectors"):
        merged("bilinear", A, B, C)


def test_an_unknown_config_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"config\.axs: unknown key; did you mean 'axis'\?"):
        new_merge("concatenate", "joined", {"axs": 1})


def test_a_specification_may_name_every_merge_that_there_is_and_no_other() -> None:
    assert list(SPECIFIED) == sorted(MERGES)
