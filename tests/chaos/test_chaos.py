"""A short campaign: kills and interruptions change nothing of what is trained.

`python -m benchmarks.chaos --chains N --seed S` tries more, to the published model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.races import make_models, race

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("Rows", "Statistics", "Embed", "Train")


def test_publishes_rollbacks_and_readers_at_once_leave_whole_versions_only(tmp_path: Path) -> None:
    models = make_models(tmp_path)
    for seed in range(4):
        assert list(race(tmp_path / "serving", models, seed)) == []


@pytest.mark.end_to_end
def test_a_model_trained_in_spite_of_disturbances_predicts_the_same(tmp_path: Path) -> None:
    """Until the evaluation, for its model is the one that would be published."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--chains", "1", "--seed", "9", "--times", "1",
         "--races", "0", "--steps", ",".join(STEPS), "--until", "Evaluate",
         "--json", tmp_path / "found.json"],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = json.loads((tmp_path / "found.json").read_text())["outcomes"]
    assert [outcome["step"] for outcome in outcomes] == list(STEPS)
    assert not any(outcome["lost"] for outcome in outcomes)
