"""The YAML in `kubeflow/README.md` is valid, and its tables are complete."""

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
from tfx_fusion.kubeflow.container_paths import check_paths
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.spec.kubeflow import Kubeflow, StepResources

GUIDE = (Path(__file__).resolve().parents[2] / "kubeflow" / "README.md").read_text()
OBJECTS, SECTION = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def subcommand(name: str) -> click.Command:
    command = fusion.get_command(click.Context(fusion), name)
    assert command is not None
    return command


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(OBJECTS))


def test_the_claim_and_the_pod_are_valid() -> None:
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


def test_the_table_of_keys_has_every_key() -> None:
    table = GUIDE.partition("| key | meaning |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    shown = {key for row in rows for key in re.findall(r"`(\w+)`", row)}

    assert shown == set(Kubeflow.model_fields)
    assert set(StepResources.model_fields) < shown


@pytest.mark.parametrize("name", ["compile", "submit", "manifests"])
def test_the_options_in_the_guide_exist(name: str) -> None:
    command = subcommand(name)
    known = {option for parameter in command.params for option in parameter.opts}
    lines = [line for line in GUIDE.splitlines() if f"fusion {name} $FILE" in line]
    shown = {
        option
        for line in lines
        for option in re.findall(r"\s(--?[a-z][-a-z]*)", line.split("|")[0])
    }

    assert lines
    assert shown <= known


def test_the_table_of_options_has_every_option_of_submit() -> None:
    table = GUIDE.partition("| option | meaning |")[2].partition("\n\n")[0]
    shown = set(re.findall(r"^\| `(--[-a-z]+)`", table, re.MULTILINE))

    assert shown == {option for parameter in subcommand("submit").params
                    for option in parameter.opts if option.startswith("--")}  # fmt: skip
