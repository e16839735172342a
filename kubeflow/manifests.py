"""`fusion manifests`: what serves the published model, for `kubectl apply`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import click
from pydantic import TypeAdapter, ValidationError

from tfx_fusion.kubeflow.model_servers import IMAGE, InBucket, OnVolume, Served, kserve, tf_serving
from tfx_fusion.kubeflow.volumes import holder, on_no_volume, there
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.spec.kubeflow import Memory

# What a Kubernetes Service may be called (RFC 1035); KServe adds `-predictor` for its own.
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST = {"tf-serving": 63, "kserve": 53}
# What each server reads by itself; TF Serving knows no s3:// since 2.7.
SCHEMES = {"tf-serving": ("gs",), "kserve": ("gs", "s3")}


def check_name(name: str, server: str) -> None:
    """Raises SpecificationError where Kubernetes would refuse the name."""
    if not SERVICE_NAME.fullmatch(name) or len(name) > LONGEST[server]:
        raise SpecificationError(
            [f"name: a server in Kubernetes is called as the pipeline is: expected at most "
             f"{LONGEST[server]} letters, digits and '-', a letter first, found '{name}'"]
        )  # fmt: skip


def published(specification: Specification) -> OnVolume:
    """Where the publish folder lies on the cluster.

    Raises SpecificationError where no volume of `kubeflow.volumes` holds it.
    """
    if specification.kubeflow is None:
        raise SpecificationError(
            ["kubeflow: this key is missing; its `volumes` say on which claim publish.path lies, "
             "see kubeflow/README.md; or give the model's place in a bucket as --model-uri"]
        )  # fmt: skip
    path, volumes = specification.publish.path, specification.kubeflow.volumes
    volume, folder = holder(path, volumes), there(path, volumes)
    if volume is None or folder is None:
        raise SpecificationError([on_no_volume("publish.path", path, volumes)])
    return OnVolume(volume.claim, volume.mount, PurePosixPath(folder))


def in_bucket(uri: str, server: str) -> InBucket:
    """A place in a bucket that the server can read."""
    schemes = SCHEMES[server]
    if not re.fullmatch(rf"({'|'.join(schemes)})://[^/\s]+(/\S*)?", uri):
        hint = ""
        if uri.startswith("s3://"):
            hint = "; TF Serving reads no s3://: take --server kserve, or a volume"
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
            f"expected a quantity as Kubernetes writes it, 4Gi say, found '{value}'"
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
@click.option("--namespace", help="The namespace to write into them; else that of kubectl.")
@click.option("--replicas", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--cpu",
    type=click.FloatRange(min=0, min_open=True),
    default=1,
    show_default=True,
    help="The CPUs that each replica is promised.",
)
@click.option(
    "--memory",
    callback=_memory,
    default="2Gi",
    show_default=True,
    help="The memory that each replica is promised, and no more.",
)
@click.option("--image", help=f"TF Serving's image.  [default: {IMAGE}]")
@click.option(
    "--model-uri",
    help="A copy of the publish folder in a bucket, gs:// (KServe: or s3://), not the volume.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file to write, else the screen."
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

    The server mounts the claim of `kubeflow.volumes` that the publish folder lies on, and follows
    the versions there: nothing needs to change when one is published or rolled back.
    """
    import yaml  # YAML 1.1, as Kubernetes reads it: `no` must stand in quotes

    if image and server == "kserve":
        raise click.BadParameter(
            "KServe takes the image of its serving runtime; leave it out", param_hint="--image"
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
