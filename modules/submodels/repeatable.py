"""Which outputs of a sub-model differ from call to call for the same rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

ROWS, UNKNOWN_SIZE = 8, 3


def differing(
    call: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    inputs: Mapping[str, tuple[Sequence[int | None], str]],
) -> set[str]:
    """The outputs of which two calls on the same drawn rows give other values, but for rounding.

    Args:
        call: from `{input: array}` to `{output: tensor}`.
        inputs: the shape, without the batch, and the dtype of each input.

    None where the model cannot take what was drawn.
    """
    random = np.random.default_rng(0)
    given = {name: _drawn(random, shape, dtype) for name, (shape, dtype) in inputs.items()}
    try:
        one, other = ({n: np.asarray(v) for n, v in call(given).items()} for _ in range(2))
    except Exception:
        return set()
    return {name for name, values in one.items() if not _equal(values, other[name])}


def _drawn(random: np.random.Generator, shape: Sequence[int | None], dtype: str) -> np.ndarray:
    sizes = [ROWS, *(UNKNOWN_SIZE if size is None else size for size in shape)]
    if dtype == "string":
        return np.full(sizes, b"a", dtype=object)
    values = random.random(sizes) if "float" in dtype else random.integers(0, 2, sizes)
    return values.astype(dtype)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind in "iubOS":
        return np.array_equal(one, other)
    found, again = one.astype(np.float32), other.astype(np.float32)
    return found.shape == again.shape and np.allclose(
        found, again, rtol=1e-3, atol=1e-4, equal_nan=True
    )
