"""`fusion manifests`: Kubernetes manifests that serve the published model, for `kubectl apply`."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from tfx_fusion.kubeflow.container_paths import container_path, on_no_volume, volume_of
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.spec.kubeflow import Memory

# A valid name of a Kubernetes Service (RFC 1035); KServe adds `-predictor` for its own.
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST = {"tf-serving": 63, "kserve": 53}
# The object stores that each server reads by itself; TF Serving has no s3:// since 2.7.
SCHEMES = {"tf-serving": ("gs",), "kserve": ("gs", "s3")}
GRPC, REST = 8500, 8501
IMAGE = "tensorflow/serving:2.19.1"  # of the version of the interface that this project speaks
USER = 1000  # TF Serving's image names none, so it would run as root


@dataclass(frozen=True)
class OnVolume:
    """A publish folder on a claim; `folder` is its path where the claim is mounted at `mount`."""

    claim: str
    mount: PurePosixPath
    folder: PurePosixPath

    @property
    def uri(self) -> str:
        """As KServe names it, from the top of the claim."""
        return f"pvc://{self.claim}/{self.folder.relative_to(self.mount)}".removesuffix("/.")


@dataclass(frozen=True)
class InBucket:
    """A copy of a publish folder in an object store."""

    uri: str


@dataclass(frozen=True)
class Served:
    """A model that is served under a name, and the resources of each replica."""

    name: str
    source: OnVolume | InBucket
    namespace: str | None
    replicas: int
    cpu: float
    memory: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which its objects are found."""
        return {"app.kubernetes.io/name": "model-server", "app.kubernetes.io/instance": self.name}

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of every object."""
        about: dict[str, Any] = {"name": self.name, "labels": self.labels}
        return about if self.namespace is None else {**about, "namespace": self.namespace}

    def resources(self, limit_cpu: bool) -> dict[str, Any]:
        """The requests and limits of each replica."""
        requests = {"cpu": f"{self.cpu:g}", "memory": self.memory}
        return {
            "requests": requests,
            "limits": dict(requests) if limit_cpu else {"memory": self.memory},
        }


def tf_serving(served: Served, image: str) -> list[dict[str, Any]]:
    """A Deployment of TF Serving and the Service in front of it."""
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_server(served, image)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    if isinstance(served.source, OnVolume):
        claim = {"claimName": served.source.claim}
        pod["volumes"].append({"name": "models", "persistentVolumeClaim": claim})
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": served.metadata,
            "spec": {
                "replicas": served.replicas,
                "selector": {"matchLabels": served.labels},
                "template": {"metadata": {"labels": served.labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": served.metadata,
            "spec": {
                "selector": served.labels,
                "ports": [
                    {"name": "grpc", "port": GRPC, "targetPort": "grpc"},
                    {"name": "http", "port": REST, "targetPort": "http"},
                ],
            },
        },
    ]


def _server(served: Served, image: str) -> dict[str, Any]:
    """TF Serving's container. It listens once a version is loaded and has been warmed up."""
    source = served.source
    base = source.folder if isinstance(source, OnVolume) else source.uri
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if isinstance(source, OnVolume):
        # The whole claim: Kubernetes would create a missing `subPath` as root, and publishing
        # into it would fail.
        mounts.append({"name": "models", "mountPath": str(source.mount), "readOnly": True})
    return {
        "name": "tf-serving",
        "image": image,
        "command": ["tensorflow_model_server"],
        "args": [
            f"--port={GRPC}",
            f"--rest_api_port={REST}",
            f"--model_name={served.name}",
            f"--model_base_path={base}",
        ],
        "ports": [
            {"name": "grpc", "containerPort": GRPC},
            {"name": "http", "containerPort": REST},
        ],
        # Ten minutes to load the first version.
        "startupProbe": _probe(served, every=5, failures=120),
        "readinessProbe": _probe(served, every=5, failures=3),
        "livenessProbe": _probe(served, every=20, failures=6),
        # No CPU limit: a throttled server answers late while the node's CPUs are idle.
        "resources": served.resources(limit_cpu=False),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }  # fmt: skip


def _probe(served: Served, every: int, failures: int) -> dict[str, Any]:
    """A probe that requests the state of the model from TF Serving."""
    return {
        "httpGet": {"path": f"/v1/models/{served.name}", "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def kserve(served: Served) -> list[dict[str, Any]]:
    """An InferenceService, served by KServe's runtime for TF Serving."""
    model = {
        "modelFormat": {"name": "tensorflow"},
        "protocolVersion": "v1",
        "storageUri": served.source.uri,
        # KServe's runtime limits the CPU to 1, and a limit must not be below its request.
        "resources": served.resources(limit_cpu=True),
    }
    return [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": served.metadata,
            "spec": {
                "predictor": {
                    "minReplicas": served.replicas,
                    "maxReplicas": served.replicas,
                    "model": model,
                }
            },
        }
    ]


def check_name(name: str, server: str) -> None:
    """Raises SpecificationError for a name that Kubernetes would refuse."""
    if not SERVICE_NAME.fullmatch(name) or len(name) > LONGEST[server]:
        raise SpecificationError(
            f"name: a server in Kubernetes has the pipeline's name: expected at most "
            f"{LONGEST[server]} letters, digits and '-', a letter first, found '{name}'"
        )


def published(specification: Specification) -> OnVolume:
    """The publish folder as the cluster sees it.

    Raises SpecificationError where no volume of `kubeflow.volumes` holds it.
    """
    if specification.kubeflow is None:
        raise SpecificationError(
            "kubeflow: this key is missing; its `volumes` name the claim that holds publish.path, "
            "see kubeflow/README.md; or give the model's address in a bucket as --model-uri"
        )
    path, volumes = specification.publish.path, specification.kubeflow.volumes
    volume, folder = volume_of(path, volumes), container_path(path, volumes)
    if volume is None or folder is None:
        raise SpecificationError(on_no_volume("publish.path", path, volumes))
    return OnVolume(volume.claim, volume.mount, PurePosixPath(folder))


def in_bucket(uri: str, server: str) -> InBucket:
    """A place in a bucket that the server can read."""
    schemes = SCHEMES[server]
    if not re.fullmatch(rf"({'|'.join(schemes)})://[^/\s]+(/\S*)?", uri):
        hint = ""
        if uri.startswith("s3://"):
            hint = "; TF Serving cannot read s3://: use --server kserve, or a volume"
        raise click.BadParameter(
            f"expected {' or '.join(f'{scheme}://BUCKET/PATH' for scheme in schemes)} for "
            f"{server}, found '{uri}'{hint}",
            param_hint="--model-uri",
        )
    return InBucket(uri)


def _memory(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        return TypeAdapter(Memory).validate_python(value)
    except ValidationError:
        raise click.BadParameter(
            f"expected a Kubernetes quantity such as 4Gi, found '{value}'"
        ) from None


@click.command("manifests")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--server",
    type=click.Choice(["tf-serving", "kserve"]),
    default="tf-serving",
    show_default=True,
    help="tf-serving: a Deployment and a Service. kserve: an InferenceService.",
)
@click.option("--namespace", help="The namespace of the objects; that of kubectl unless given.")
@click.option("--replicas", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--cpu",
    type=click.FloatRange(min=0, min_open=True),
    default=1,
    show_default=True,
    help="CPU request per replica.",
)
@click.option(
    "--memory",
    callback=_memory,
    default="2Gi",
    show_default=True,
    help="Memory request and limit per replica.",
)
@click.option("--image", help=f"TF Serving's image.  [default: {IMAGE}]")
@click.option(
    "--model-uri", help="A copy of the publish folder in a bucket: gs://, with KServe also s3://."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="The file to write; standard output unless given.",
)  # fmt: skip
def command(
    file: Path,
    server: str,
    namespace: str | None,
    replicas: int,
    cpu: float,
    memory: str,
    image: str | None,
    model_uri: str | None,
    output: Path | None,
) -> None:
    """Print Kubernetes manifests that serve what the specification FILE publishes.

    The server mounts the claim of `kubeflow.volumes` that holds the publish folder, and follows
    the versions there: nothing needs to be applied again when one is published or rolled back.
    """
    import yaml  # YAML 1.1, as Kubernetes reads it: `no` must stand in quotes

    if image and server == "kserve":
        raise click.BadParameter(
            "KServe uses the image of its serving runtime; leave the option out",
            param_hint="--image",
        )
    specification = load_specification(file)
    check_name(specification.name, server)
    source = in_bucket(model_uri, server) if model_uri else published(specification)
    served = Served(specification.name, source, namespace, replicas, cpu, memory)
    objects = kserve(served) if server == "kserve" else tf_serving(served, image or IMAGE)
    text = yaml.safe_dump_all(objects, sort_keys=False)
    if output:
        write_text(output, text)
    else:
        click.echo(text, nl=False)
