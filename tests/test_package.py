"""The wheel, installed where nothing of the checkout is: what users get from `pip install`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READY = sysconfig.get_path("purelib")  # the packages that the project depends on
KUBEFLOW = """\
kubeflow:
  image: registry.example/fusion:1
  volumes: [{claim: work, mount: /work, folder: .}]
"""
# Folders and files of a user's own, named as ours are. None of them may be imported.
CLASHES = (
    "modules/__init__.py", "components/__init__.py", "pipeline/__init__.py",
    "kubeflow/__init__.py", "volumes.py", "compile.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of what git would ship; built from a copy, for a build leaves folders behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    for name in ("tfx_fusion", "modules", "components", "pipeline", "kubeflow"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    subprocess.run(
        [sys.executable, "-m", "uv", "build", "--wheel", "--offline", "--no-build-isolation",
         "--python", sys.executable, "--out-dir", str(out), str(source)],
        check=True, capture_output=True,
    )  # fmt: skip
    [found] = out.glob("*.whl")
    return found


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and a folder of a user with files that clash."""

    python: Path
    folder: Path

    def fusion(self, *arguments: str) -> str:
        """What the installed command prints, with nothing of this checkout on any path."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.python.with_name("fusion")), *arguments],
            cwd=self.folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(
    wheel: Path, shared_world: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    environment = tmp_path_factory.mktemp("environment")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = environment / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    # A line of a .pth file adds the folder, not the links to the checkout that lie in it.
    (packages / "ready.pth").write_text(f"{READY}\n")
    ready = Path(sys.executable).parents[1] / "pyvenv.cfg"
    shutil.copy(ready, environment / "pyvenv.cfg")
    python = environment / "bin" / "python"
    python.parent.mkdir()
    shutil.copy2(Path(sys.executable).resolve(), python)
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps",
         "--python", str(python), str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("user") / "work"
    shutil.copytree(shared_world, folder)
    for clash in CLASHES:
        (folder / clash).parent.mkdir(exist_ok=True)
        (folder / clash).write_text(f"raise ImportError('{clash} of the user was imported')\n")
    specification = folder / "fusion.yaml"
    specification.write_text(specification.read_text() + KUBEFLOW)
    return Installed(python, folder)


def test_the_wheel_has_one_top_level_name_and_every_source_file(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "tfx_fusion", next(name.split("/")[0] for name in names if ".dist-info" in name),
    }  # fmt: skip
    for folder in ("modules", "components", "pipeline", "kubeflow"):
        source = {f"tfx_fusion/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.py")}
        assert source <= set(names)
    assert "tfx_fusion/modules/report/page.html.j2" in names


def test_the_command_lists_those_of_kubeflow_too(installed: Installed) -> None:
    assert "  submit  " in installed.fusion("--help")


def test_a_file_is_validated_beside_folders_named_as_ours(installed: Installed) -> None:
    assert "fusion.yaml is " in installed.fusion("validate", "fusion.yaml")


def test_it_compiles_beside_a_compile_py_of_the_users_own(installed: Installed) -> None:
    installed.fusion("compile", "fusion.yaml", "-o", "colours.yaml")
    assert (installed.folder / "colours.yaml").is_file()


@pytest.mark.end_to_end
def test_a_run_publishes_from_the_installed_package_alone(installed: Installed) -> None:
    installed.fusion("run", "fusion.yaml")
    assert list((installed.folder / "serving").glob("*/saved_model.pb"))
    code = "import tfx_fusion.modules.files as found; print(found.__file__)"
    done = subprocess.run(
        [str(installed.python), "-P", "-c", code], cwd=installed.folder, capture_output=True,
        text=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert not Path(done.stdout.strip()).is_relative_to(ROOT)
