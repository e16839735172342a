"""The proof that what is frozen did not move: one bit is enough to fail, by the tensor's name."""

from __future__ import annotations

import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.training.frozen_proof import (
    FrozenPart,
    all_frozen,
    combined,
    digest,
    digests,
    frozen_parts,
    named_like,
    verify_unchanged,
)

TENSOR = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)


def test_the_same_values_have_the_same_digest_whoever_holds_them() -> None:
    variable = keras.Variable(TENSOR)

    assert (
        digest(TENSOR) == digest(TENSOR.copy()) == digest(tf.constant(TENSOR)) == digest(variable)
    )
    # The order in memory is no property of a tensor.
    assert digest(TENSOR) == digest(np.asfortranarray(TENSOR))


@pytest.mark.parametrize("bit", [0, 7, 31, 12 * 32 - 1])
def test_one_bit_changes_the_digest(bit: int) -> None:
    raw = bytearray(TENSOR.tobytes())
    raw[bit // 8] ^= 1 << (bit % 8)
    changed = np.frombuffer(bytes(raw), "float32").reshape(TENSOR.shape)

    assert digest(changed) != digest(TENSOR)


def test_zero_and_minus_zero_are_different_bits() -> None:
    assert np.float32(0) == np.float32(-0.0)
    assert digest(np.float32(0)) != digest(np.float32(-0.0))


def test_another_dtype_of_the_same_bytes_changes_the_digest() -> None:
    assert digest(TENSOR.view("int32")) != digest(TENSOR)


def test_another_shape_of_the_same_bytes_changes_the_digest() -> None:
    assert digest(TENSOR.reshape(4, 3)) != digest(TENSOR)
    assert digest(TENSOR.reshape(1, 3, 4)) != digest(TENSOR)


def test_digests_keep_the_names() -> None:
    found = digests({"vision": {"kernel": TENSOR, "bias": TENSOR[0]}, "text": {}})

    assert found == {
        "vision": {"kernel": digest(TENSOR), "bias": digest(TENSOR[0])},
        "text": {},
    }


def test_unchanged_tensors_pass() -> None:
    before = digests({"vision": {"kernel": TENSOR}})

    verify_unchanged(before, digests({"vision": {"kernel": TENSOR.copy()}}), "in training")


def test_changed_tensors_are_named_with_their_sub_model_and_the_occasion() -> None:
    before = digests(
        {
            "vision": {"kernel": TENSOR, "bias": TENSOR[0], "scale": TENSOR[1]},
            "text": {"table": TENSOR},
        }
    )
    after = digests(
        {
            "vision": {"kernel": TENSOR + 1, "bias": TENSOR[0], "scale": TENSOR[1]},
            "text": {"table": np.nextafter(TENSOR, np.float32(2))},
        }
    )

    with pytest.raises(RunError) as caught:
        verify_unchanged(before, after, "in training")

    assert str(caught.value) == ("frozen tensors changed in training: vision: kernel, text: table")


@pytest.mark.parametrize("after", [{}, {"vision": {}}], ids=["sub-model", "tensor"])
def test_a_missing_tensor_counts_as_changed(after: dict) -> None:
    before = digests({"vision": {"kernel": TENSOR}})

    with pytest.raises(RunError, match="in the exported model: vision: kernel"):
        verify_unchanged(before, after, "in the exported model")


def test_exported_tensors_get_their_names_of_before_by_their_order() -> None:
    before = digests({"vision": {"kernel": TENSOR, "bias": TENSOR[0]}})

    named = named_like(before, {"vision": [TENSOR, TENSOR[0]]})

    verify_unchanged(before, digests(named), "in the exported model")
    changed = r"in the exported model: vision: kernel, vision: bias(\n|$)"
    with pytest.raises(RunError, match=changed):
        verify_unchanged(
            before,
            digests(named_like(before, {"vision": [TENSOR[0], TENSOR]})),
            "in the exported model",
        )


@pytest.mark.parametrize(
    "exported", [[TENSOR], [TENSOR, TENSOR[0], TENSOR]], ids=["one less", "one more"]
)
def test_an_export_with_another_number_of_tensors_never_passes(exported: list) -> None:
    before = digests({"vision": {"kernel": TENSOR, "bias": TENSOR[0]}})

    with pytest.raises(ValueError, match="zip"):
        named_like(before, {"vision": exported})


# ------------------------------------------------------------------- one digest of many tensors


def test_one_digest_of_several_depends_on_each_and_on_their_order() -> None:
    first, second = digest(TENSOR), digest(TENSOR[0])

    assert combined([first, second]) == hashlib.sha256(f"{first}\n{second}".encode()).hexdigest()
    assert len({combined(some) for some in ([first, second], [second, first], [first], [])}) == 4


def test_the_frozen_part_of_a_sub_model_counts_what_stays_frozen_and_takes_both_moments() -> None:
    tensors = {"vision": {"kernel": TENSOR, "bias": TENSOR[0], "thawed": TENSOR}}
    before = digests({"vision": {"kernel": TENSOR, "bias": TENSOR[0]}})
    after = digests({"vision": {"kernel": TENSOR, "bias": TENSOR[1]}})

    parts = frozen_parts(tensors, before, after)

    assert parts == {
        "vision": FrozenPart(
            tensors=2,
            parameters=12 + 4,
            before=combined([digest(TENSOR), digest(TENSOR[0])]),
            after=combined([digest(TENSOR), digest(TENSOR[1])]),
        )
    }


def test_all_sub_models_together_do_not_depend_on_the_order_they_were_built_in() -> None:
    vision = FrozenPart(tensors=2, parameters=16, before="a", after="b", exported="c")
    text = FrozenPart(tensors=1, parameters=4, before="d", after="e", exported="f")

    together = all_frozen({"vision": vision, "text": text})

    assert together == all_frozen({"text": text, "vision": vision})
    assert (together.tensors, together.parameters) == (3, 20)
    assert together.before == combined(["d", "a"])
    assert together.after == combined(["e", "b"])
    assert together.exported == combined(["f", "c"])
