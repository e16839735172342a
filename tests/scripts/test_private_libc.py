"""How the next release's sources are derived from the machine's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def private_libc() -> ModuleType:
    spec = importlib.util.spec_from_file_location("private_libc", SCRIPTS / "private_libc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_list_keeps_its_mirror_and_options_and_changes_the_suite(
    private_libc: ModuleType,
) -> None:
    text = (
        "# a comment that names bookworm\n"
        "deb [signed-by=/k.gpg] http://mirror.example/bookworm-pool bookworm main contrib\n"
        "deb http://mirror.example/security bookworm-security main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb http://other.example/apt stable main\n"
    )
    assert private_libc.renamed_sources(text, "bookworm", "trixie").splitlines() == [
        "deb [signed-by=/k.gpg] http://mirror.example/bookworm-pool trixie main contrib",
        "deb http://mirror.example/security trixie-security main",
    ]


def test_stanzas_keep_everything_but_the_suites_line(private_libc: ModuleType) -> None:
    text = (
        "Types: deb\nURIs: http://mirror.example/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n"
        "\n"
        "Types: deb\nURIs: http://other.example/node\nSuites: nodistro\nComponents: main\n"
    )
    assert private_libc.renamed_sources(text, "bookworm", "trixie") == (
        "Types: deb\nURIs: http://mirror.example/debian\n"
        "Suites: trixie trixie-updates\nComponents: main\nSigned-By: /k.gpg"
    )


def test_foreign_sources_give_nothing(private_libc: ModuleType) -> None:
    assert not private_libc.renamed_sources("deb http://a.example x-bookworm main", "bookworm", "t")


def test_an_old_release_without_a_known_successor_fails_with_one_sentence(
    private_libc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "os-release"
    release.write_text('PRETTY_NAME="Fedora Linux 36"\nVERSION_CODENAME=""\n')
    monkeypatch.setattr(private_libc, "OS_RELEASE", release)
    with pytest.raises(private_libc.LibcError, match=r"Fedora Linux 36 has 2\.\d+.*use Debian 13"):
        private_libc._release()
