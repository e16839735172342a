"""What `kubeflow/README.md` gives to copy: Kubernetes takes it, and so does the specification."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from tfx_fusion.cli import fusion
from tfx_fusion.kubeflow.volumes import check_paths
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.spec.kubeflow import Kubeflow, Means

GUIDE = (Path(__file__).resolve().parents[2] / "kubeflow" / "README.md").read_text()
OBJECTS, SECTION = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(OBJECTS))


def test_kubernetes_takes_the_claim_and_the_pod() -> None:
    claim, pod = objects()

    for found in (claim, pod):
        kubernetes_validate.validate(found, "1.37", strict=True)
    mounted = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"]]
    assert mounted == [claim["metadata"]["name"]]


def test_the_section_puts_every_path_on_the_claim_of_the_pod(
    write_specification: Callable[..., Path],
) -> None:
    file = write_specification()
    file.write_text(file.read_text() + SECTION)

    specification = load_specification(file)

    kubeflow = specification.kubeflow
    assert kubeflow is not None
    check_paths(specification, kubeflow)
    claim, pod = objects()
    [volume] = kubeflow.volumes
    [container] = pod["spec"]["containers"]
    assert volume.claim == claim["metadata"]["name"]
    assert container["volumeMounts"] == [{"name": "fusion", "mountPath": str(volume.mount)}]
    assert container["image"] == kubeflow.image


def test_the_table_of_keys_tells_every_key() -> None:
    table = GUIDE.partition("| key | says |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    told = {key for row in rows for key in re.findall(r"`(\w+)`", row)}

    assert told == set(Kubeflow.model_fields)
    assert set(Means.model_fields) < told


@pytest.mark.parametrize("name", ["compile", "submit", "manifests"])
def test_the_options_that_are_told_are_there(name: str) -> None:
    command = fusion.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    lines = [line for line in GUIDE.splitlines() if f"fusion {name} $FILE" in line]
    told = {
        option
        for line in lines
        for option in re.findall(r"\s(--?[a-z][-a-z]*)", line.split("|")[0])
    }

    assert isinstance(command, click.Command)
    assert lines
    assert told <= known


def test_the_table_of_options_tells_every_option_of_submit() -> None:
    table = GUIDE.partition("| option | says |")[2].partition("\n\n")[0]
    told = set(re.findall(r"^\| `(--[-a-z]+)`", table, re.MULTILINE))

    assert told == {option for parameter in fusion.commands["submit"].params
                    for option in parameter.opts if option.startswith("--")}  # fmt: skip
