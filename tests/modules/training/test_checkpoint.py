"""The state of training on the disk: whole, or set aside so that training begins again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfx_fusion.modules.training.checkpoint import STATE_FILE, Checkpoint, State

pytestmark = pytest.mark.component

STATE = State(1, 2, [{"name": "head"}], [{"loss": 0.5}], [np.arange(4000.0)], [np.ones(2)])
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-1],
    "changed": lambda content: content[:9000] + b"?" * 9 + content[9009:],
    "of something else": lambda content: b"id,total\n" * 50,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_set_aside_and_named_and_hinders_nobody(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, file = Checkpoint(tmp_path), tmp_path / STATE_FILE
    checkpoint.save(STATE)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))

    assert checkpoint.load() is None

    assert [path.name for path in tmp_path.iterdir()] == [f"{STATE_FILE}.damaged"]
    assert caplog.messages[0].startswith(f"{file} is damaged (")
    assert "training starts from its first epoch" in caplog.messages[0]
    checkpoint.save(STATE)
    found = checkpoint.load()
    assert found is not None
    assert (found.stage, found.epoch, found.epochs) == (1, 2, [{"loss": 0.5}])
    np.testing.assert_array_equal(found.variables[0], STATE.variables[0])


def test_every_bit_of_a_value_is_checked(tmp_path: Path) -> None:
    """No changed byte gives other values: they are those that were saved, or none."""
    checkpoint, file = Checkpoint(tmp_path), tmp_path / STATE_FILE
    checkpoint.save(STATE)
    content = file.read_bytes()
    for place in range(0, len(content), 997):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        found = checkpoint.load()
        if found is not None:
            np.testing.assert_array_equal(found.variables[0], STATE.variables[0])
            np.testing.assert_array_equal(found.optimizer[0], STATE.optimizer[0])
            assert found.epochs == STATE.epochs
