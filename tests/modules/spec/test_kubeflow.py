"""The section `kubeflow`: the resources of a step, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tfx_fusion.modules.spec import Kubeflow


def made(**keys: Any) -> Kubeflow:
    return Kubeflow.model_validate({"image": "fusion:1", **keys})


def test_a_step_has_its_own_values_before_those_of_all_steps() -> None:
    kubeflow = made(
        cpu=2, memory="4Gi", retries=2, env={"A": "1", "B": "1"},
        steps={"Train": {"cpu": 8, "retries": 0, "env": {"B": "2"}}},
    )  # fmt: skip

    train, rows = kubeflow.of_step("Train"), kubeflow.of_step("Rows")

    assert (train.cpu, train.memory, train.retries) == (8, "4Gi", 0)
    assert train.env == {"A": "1", "B": "2"}
    assert (rows.cpu, rows.retries, rows.env) == (2, 2, {"A": "1", "B": "1"})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"memory": "4 Gi"}, "String should match pattern"),
        ({"memory": "4Gb"}, "String should match pattern"),
        ({"memory": "4K"}, "String should match pattern"),
        ({"cpu": 0}, "greater than 0"),
        ({"retries": -1}, "greater than or equal to 0"),
        ({"volumes": [{"claim": "My_Claim", "mount": "/a"}]}, "String should match pattern"),
        ({"volumes": [{"claim": "a", "mount": "data"}]}, "expected an absolute path below /"),
        ({"volumes": [{"claim": "a", "mount": "/"}]}, "expected an absolute path below /"),
        (
            {"volumes": [{"claim": "a", "mount": "/x"}, {"claim": "b", "mount": "/x"}]},
            "two volumes cannot be mounted at one path, found /x twice",
        ),
        ({"env": {"1A": "x"}}, "String should match pattern"),
        ({"secrets": {"A": {"secret": "s"}}}, "Field required"),
        ({"steps": {"Train": {"memroy": "4Gi"}}}, "did you mean 'memory'"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        made(**keys)
