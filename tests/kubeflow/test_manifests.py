"""`fusion manifests`: its output is valid by published schemas, and invalid options are refused."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator, ValidationError

from tfx_fusion.kubeflow.manifests import command
from tfx_fusion.modules.errors import SpecificationError

# Kubernetes' own OpenAPI schemas, in which unknown keys are errors: the oldest and newest there.
KUBERNETES = ("1.25", "1.37")

QUANTITIES = {
    "type": "object",
    # As the schema of every quantity in KServe's CustomResourceDefinition, but for signs.
    "additionalProperties": {
        "type": "string",
        "pattern": r"^([0-9]+(\.[0-9]*)?)([KMGTPE]i|[numkMGTPE])?$",
    },
}
# The keys of an InferenceService that are used here, written down from the definition that KServe
# publishes (v0.15.2, config/crd/full/serving.kserve.io_inferenceservices.yaml, version v1beta1) and
# from what its admission webhook asks of names (pkg/apis/serving/v1beta1).
INFERENCE_SERVICE = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}},
        },
        "spec": {
            "type": "object",
            "required": ["predictor"],
            "additionalProperties": False,
            "properties": {
                "predictor": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "minReplicas": {"type": "integer"},
                        "maxReplicas": {"type": "integer"},
                        "model": {
                            "type": "object",
                            "required": ["modelFormat"],
                            "additionalProperties": False,
                            "properties": {
                                "modelFormat": {
                                    "type": "object",
                                    "required": ["name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "name": {"type": "string"},
                                        "version": {"type": "string"},
                                    },
                                },
                                "protocolVersion": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]},
                                "storageUri": {"type": "string"},
                                "resources": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {"limits": QUANTITIES, "requests": QUANTITIES},
                                },
                            },
                        },
                    },
                }
            },
        },
    },
}


def check_inference_service(found: dict[str, Any]) -> None:
    Draft202012Validator(INFERENCE_SERVICE).validate(found)


@pytest.fixture
def file(write_specification: Callable[..., Path]) -> Path:
    """A specification whose publish folder lies on the claim `models`, and its data on another."""
    path = write_specification()
    with path.open("a") as text:
        text.write(
            "kubeflow:\n"
            "  image: registry.example.com/fusion:1\n"
            "  volumes:\n"
            "    - {claim: data, mount: /data, folder: .}\n"
            "    - {claim: models, mount: /models, folder: serving}\n"
        )
    return path


def run(file: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [str(file), *options])


def printed(file: Path, *options: str) -> list[dict[str, Any]]:
    done = run(file, *options)
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--replicas", "3", "--cpu", "0.5", "--memory", "512Mi", "--namespace", "ann"),
        ("--model-uri", "gs://bucket/serving", "--image", "registry.example.com/tf-serving:1"),
    ],
)
def test_the_manifests_of_tf_serving_are_valid(
    file: Path, options: tuple[str, ...], version: str
) -> None:
    objects = printed(file, *options)

    assert [found["kind"] for found in objects] == ["Deployment", "Service"]
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)


def test_the_schemas_refuse_misspelt_keys(file: Path) -> None:
    deployment, _ = printed(file)
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    [service] = printed(file, "--server", "kserve")
    service["spec"]["predictor"]["model"]["storageURI"] = "pvc://models"

    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)
    with pytest.raises(ValidationError, match="storageURI"):
        check_inference_service(service)


def test_tf_serving_reads_the_publish_folder_from_its_claim_and_cannot_write(file: Path) -> None:
    deployment, _ = printed(file, "--replicas", "2")

    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert "--model_name=colours" in container["args"]
    assert "--model_base_path=/models" in container["args"]
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "models"]
    assert mount == {"name": "models", "mountPath": "/models", "readOnly": True}
    claims = [v["persistentVolumeClaim"] for v in pod["volumes"] if "emptyDir" not in v]
    assert claims == [{"claimName": "models"}]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert deployment["spec"]["replicas"] == 2


def test_the_folder_is_that_of_the_container(write_specification: Callable[..., Path]) -> None:
    whole = "kubeflow: {image: fusion:1, volumes: [{claim: all, mount: /fusion, folder: .}]}\n"
    file = write_specification(("publish: {path: serving}\n", f"publish: {{path: a/b}}\n{whole}"))

    deployment, _ = printed(file)
    [inference] = printed(file, "--server", "kserve")

    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert "--model_base_path=/fusion/a/b" in container["args"]
    assert inference["spec"]["predictor"]["model"]["storageUri"] == "pvc://all/a/b"


def test_the_service_finds_the_pods_and_their_ports(file: Path) -> None:
    deployment, service = printed(file)

    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    [container] = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    reached = {port["port"]: ports[port["targetPort"]] for port in service["spec"]["ports"]}
    assert reached == {8500: 8500, 8501: 8501}
    assert "--port=8500" in container["args"]
    assert "--rest_api_port=8501" in container["args"]


@pytest.mark.component
def test_a_model_server_answers_the_probes(file: Path, served_colours: Any) -> None:
    deployment, _ = printed(file)

    [container] = deployment["spec"]["template"]["spec"]["containers"]
    probes = [container[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    [path] = {probe["httpGet"]["path"] for probe in probes}
    address = str(served_colours.rest).removeprefix("http://")
    with urllib.request.urlopen(f"http://{address}{path}") as answer:
        assert b'"AVAILABLE"' in answer.read()


@pytest.mark.parametrize(
    ("options", "uri"),
    [
        ((), "pvc://models"),
        (("--model-uri", "s3://bucket/serving"), "s3://bucket/serving"),
        (("--namespace", "ann", "--replicas", "2", "--cpu", "2"), "pvc://models"),
    ],
)
def test_the_inference_service_is_valid(file: Path, options: tuple[str, ...], uri: str) -> None:
    [found] = printed(file, "--server", "kserve", *options)

    check_inference_service(found)
    model = found["spec"]["predictor"]["model"]
    assert model["storageUri"] == uri
    assert model["modelFormat"] == {"name": "tensorflow"}
    # KServe's runtime limits the CPU to 1; a limit below the request would be refused.
    assert model["resources"]["limits"] == model["resources"]["requests"]


def test_a_bucket_needs_no_section_and_no_volume(write_specification: Callable[..., Path]) -> None:
    deployment, _ = printed(write_specification(), "--model-uri", "gs://bucket/serving")

    pod = deployment["spec"]["template"]["spec"]
    assert "--model_base_path=gs://bucket/serving" in pod["containers"][0]["args"]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


def test_a_name_that_yaml_could_read_otherwise_stays_a_name(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("name: colours", "name: 'no'"))
    place = tmp_path / "made" / "server.yaml"

    assert printed(file, "--output", str(place)) == []

    deployment, service = yaml.safe_load_all(place.read_text())
    assert deployment["metadata"]["name"] == service["metadata"]["name"] == "no"


def refusal(file: Path, *options: str) -> str:
    error = run(file, *options).exception
    assert isinstance(error, SpecificationError), error
    [problem] = error.problems
    return problem


def test_a_publish_folder_on_no_volume_is_refused(write_specification: Callable[..., Path]) -> None:
    section = "kubeflow: {image: fusion:1, volumes: [{claim: d, mount: /data, folder: data}]}\n"
    file = write_specification(
        ("publish: {path: serving}\n", f"publish: {{path: serving}}\n{section}")
    )

    message = refusal(file)

    assert message.startswith(f"publish.path: {file.parent}/serving is on no volume")
    assert message.endswith(f"(found: {file.parent}/data at /data)")


def test_a_specification_without_the_section_is_refused(
    write_specification: Callable[..., Path],
) -> None:
    message = refusal(write_specification())

    assert message.startswith("kubeflow: this key is missing")
    assert "--model-uri" in message


@pytest.mark.parametrize(
    ("name", "server", "longest"),
    [("7colours", "tf-serving", 63), ("a" * 64, "tf-serving", 63), ("a" * 54, "kserve", 53)],
)
def test_an_invalid_name_of_a_service_is_refused(
    file: Path, name: str, server: str, longest: int
) -> None:
    file.write_text(file.read_text().replace("name: colours", f"name: {name}"))

    message = refusal(file, "--server", server)

    assert message.startswith("name: ")
    assert message.endswith(
        f"at most {longest} letters, digits and '-', a letter first, found '{name}'"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model-uri", "s3://bucket/x"), "TF Serving cannot read s3://: use --server kserve"),
        (("--model-uri", "/serving"), "expected gs://BUCKET/PATH for tf-serving, found '/serving'"),
        (("--server", "kserve", "--model-uri", "gs://"), "expected gs://BUCKET/PATH or s3://BUCKET"),
        (("--server", "kserve", "--image", "x"), "KServe uses the image of its serving runtime"),
        (("--memory", "lots"), "expected a Kubernetes quantity such as 4Gi, found 'lots'"),
        (("--cpu", "0"), "0.0 is not in the range x>0"),
        (("--replicas", "0"), "0 is not in the range x>=1"),
    ],
)  # fmt: skip
def test_invalid_options_are_refused(file: Path, options: tuple[str, ...], message: str) -> None:
    done = run(file, *options)

    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
