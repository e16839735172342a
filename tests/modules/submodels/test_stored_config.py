"""A `.keras` file comes from outside: what could run code or is damaged is refused unread."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.stored_config import CONFIG, WEIGHTS, read_config


def save_model(path: Path, *inner: keras.layers.Layer) -> Path:
    entry = keras.Input((2,), name="entry")
    tensor = keras.layers.Dense(2, name="first")(entry)
    for layer in inner:
        tensor = layer(tensor)
    keras.Model(entry, tensor, name="small").save(path)
    return path


def save_with_entries(
    path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def damage(path: Path, entry: str) -> Path:
    """Flips bits in the middle of an entry's content."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(entry)
    raw = bytearray(path.read_bytes())
    middle = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    raw[middle : middle + 40] = bytes(byte ^ 0xFF for byte in raw[middle : middle + 40])
    path.write_bytes(raw)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_config(path)
    return str(caught.value)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return save_model(tmp_path / "good.keras")


def test_a_good_file_gives_its_architecture(good: Path) -> None:
    config = read_config(good)

    assert config["class_name"] == "Functional"
    assert [layer["config"]["name"] for layer in config["config"]["layers"]] == ["entry", "first"]


def test_a_good_file_that_was_zipped_again_with_compression_passes(
    good: Path, tmp_path: Path
) -> None:
    again = save_with_entries(tmp_path / "again.keras", entries_of(good), zipfile.ZIP_DEFLATED)

    assert read_config(again) == read_config(good)


def test_a_lambda_layer_is_refused_by_its_name(tmp_path: Path) -> None:
    path = save_model(
        tmp_path / "code.keras", keras.layers.Lambda(lambda tensor: tensor * 2, name="doubled")
    )

    assert refusal(path) == (
        f"{path}: layer 'doubled' holds code (Lambda), which could do anything when loaded: "
        "replace it by a layer of Keras and save the model again"
    )


def in_functional(hidden: keras.layers.Layer) -> keras.Model:
    entry = keras.Input((2,))
    inner_entry = keras.Input((2,))
    return keras.Model(entry, keras.Model(inner_entry, hidden(inner_entry), name="inner")(entry))


def in_sequential(hidden: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), hidden])


def in_wrapper(hidden: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((3, 2)), keras.layers.TimeDistributed(hidden)])


@pytest.mark.parametrize("wrap", [in_functional, in_sequential, in_wrapper])
def test_a_lambda_layer_is_found_however_deep_it_hides(
    wrap: Callable[[keras.layers.Layer], keras.Model], tmp_path: Path
) -> None:
    path = tmp_path / "code.keras"
    wrap(keras.layers.Lambda(lambda tensor: tensor + 1, name="hidden")).save(path)

    assert f"{path}: layer 'hidden' holds code (Lambda)" in refusal(path)


@pytest.mark.parametrize(
    "entry", ["../evil.py", "assets/../../evil.py", "/etc/evil", "..\\evil.py", "\\evil"]
)
def test_an_entry_that_climbs_out_of_the_archive_is_refused_by_its_name(
    entry: str, good: Path, tmp_path: Path
) -> None:
    path = save_with_entries(tmp_path / "evil.keras", {**entries_of(good), entry: b"x"})

    assert refusal(path) == f"{path}: the entry '{entry}' climbs out of the archive"


def test_an_entry_whose_name_merely_holds_two_dots_passes(good: Path, tmp_path: Path) -> None:
    entries = {**entries_of(good), "assets/words..txt": b"x"}

    assert read_config(save_with_entries(tmp_path / "dots.keras", entries))


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_a_missing_part_is_named(missing: str, good: Path, tmp_path: Path) -> None:
    entries = {name: content for name, content in entries_of(good).items() if name != missing}
    path = save_with_entries(tmp_path / "half.keras", entries)

    assert refusal(path) == f"{path}: expected a .keras file, found no {missing} in it"


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(share: float, good: Path) -> None:
    whole = good.read_bytes()
    good.write_bytes(whole[: int(len(whole) * share)])

    assert refusal(good).startswith(f"{good}: expected a .keras file, found a damaged one: ")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.keras"
    path.write_text("weights, honestly")

    assert refusal(path).startswith(f"{path}: expected a .keras file, found a damaged one: ")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_flipped_bits_in_the_weights_are_reported_with_the_entry(
    compression: int, good: Path, tmp_path: Path
) -> None:
    path = save_with_entries(tmp_path / "flipped.keras", entries_of(good), compression)

    message = refusal(damage(path, WEIGHTS))

    assert message.startswith(f"{path}: ")
    assert "damaged" in message


@pytest.mark.parametrize(
    "config",
    [b"not JSON", b"\xff\xfe\x00", b"[" * 100_000],
    ids=["not JSON", "not text", "nested without end"],
)
def test_a_config_that_is_no_json_is_refused(config: bytes, good: Path, tmp_path: Path) -> None:
    path = save_with_entries(tmp_path / "odd.keras", {**entries_of(good), CONFIG: config})

    assert refusal(path).startswith(f"{path}: expected a .keras file, found a damaged one: ")


def test_an_archive_with_a_password_is_refused(good: Path) -> None:
    raw = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        starts = [entry.header_offset for entry in archive.infolist()]
    # The flag "encrypted" of each entry, in front of its content and in the directory at the end.
    for start in starts:
        raw[start + 6] |= 1
    place = raw.find(b"PK\x01\x02")
    while place != -1:
        raw[place + 8] |= 1
        place = raw.find(b"PK\x01\x02", place + 4)
    good.write_bytes(raw)

    message = refusal(good)

    assert message.startswith(f"{good}: expected a .keras file, found ")
    assert "password" in message
