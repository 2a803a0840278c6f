"""The API page builds without a broken reference, and its worked examples run."""

import re
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import call

import jaxgan
from experiments.docs import build, references
from experiments.docs.examples import invert_an_array, own_degradation, sweep

pytestmark = pytest.mark.usefixtures("narrow_lpips")


@pytest.fixture(scope="module")
def face(tiny) -> jax.Array:
    return jnp.clip(call(tiny.synthesis, tiny.mapping(jnp.linspace(-1, 1, tiny.config.z_dim))), -1, 1)


def test_the_page_has_a_line_for_every_name_and_all_examples(tmp_path, capsys):
    build.main([str(tmp_path)])
    page = (tmp_path / "jaxgan.html").read_text()
    for name in jaxgan.__all__:
        assert re.search(rf"<li>\s*<p>?.*jaxgan\.{name}</a></code>:|jaxgan\.{name}</a></code>:", page), name
    for example in sorted(build.EXAMPLES.glob("[!_]*.py")):
        assert f"experiments/docs/examples/{example.name}" in page
    assert (tmp_path / "jaxgan" / "inversion.html").exists() and "<strong>chunk_steps:</strong>" in page
    assert capsys.readouterr().out == f"{tmp_path / 'jaxgan.html'}\n"


def test_a_name_that_is_in_no_group_stops_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxgan, "__all__", [*jaxgan.__all__, "newcomer"])
    with pytest.raises(SystemExit, match="newcomer must stand in one group"):
        build.main([str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["jaxgan", "convert"])
def test_docstrings_name_what_there_is(package):
    modules = references.modules_of(package)
    assert len(modules) > 20
    assert [problem for module in modules for problem in references.broken(module)] == []


def test_broken_references_are_found():
    module = types.ModuleType("somewhere", "See `images.to_float`, `Mask.gone`, `gone()` and `jaxgan.metrics.compare`.")
    module.images, module.Mask = jaxgan.images, jaxgan.Mask
    assert references.broken(module) == ["somewhere: `Mask.gone`", "somewhere: `gone`"]


def test_which_names_are_references():
    text = "`a.b`, `config.json`, `size`, `Mask`, `InversionConfig`, `invert()`, `w + 1`, `dnnlib.util`, ``x.y``"
    assert references.names_in(text) == ["a.b", "Mask", "InversionConfig", "invert", "x.y"]


def test_an_array_is_inverted(tiny_network, crops, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = invert_an_array.invert_an_array(crops[1], model=tiny_network, steps=2)
    assert result.image.shape == (16, 16, 3) and "lpips" in capsys.readouterr().out
    with np.load("latents.npz") as latents:
        np.testing.assert_array_equal(latents["ws"], result.ws)
    assert Path("nearest.png").exists()


def test_a_degradation_of_ones_own_is_undone(tiny_network, face):
    frame = np.repeat(np.asarray(face[::2]), 2, axis=0)
    restored = own_degradation.restore_a_frame(frame, model=tiny_network, steps=2)
    kept = np.abs(restored[::2] - frame[::2])
    assert kept.max() < 0.02  # noise of rounding is assumed, .0023 here
    assert np.abs(restored[1::2] - frame[1::2]).max() > 0.05  # the rows between are new


@pytest.mark.slow
def test_a_sweep_gives_a_distance_for_each_trial(tiny_network, face):
    distances = sweep.sweep(face, model=tiny_network, steps=5)
    assert list(distances) == [(0.3, 0.05), (0.3, 0.1), (3.0, 0.05), (3.0, 0.1)]
    assert len(set(distances.values())) > 1 and all(0 < distance < 1 for distance in distances.values())
