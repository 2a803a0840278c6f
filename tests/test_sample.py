"""The command `experiments.sample`: a sheet of what a network makes of seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from experiments import sample
from jaxgan import images, latents
from jaxgan.photos import photo_files


def tile(sheet: np.ndarray, index: int) -> np.ndarray:
    """The picture of a sheet of two columns of 64 pixels."""
    row, column = divmod(index, 2)
    return sheet[20 + 88 * row : 84 + 88 * row, 68 * column : 68 * column + 64]


def test_each_seed_has_its_picture(tmp_path, tiny_network):
    file = tmp_path / "new" / "sheet.png"
    arguments = ["--model", tiny_network, "--seeds", "7", "3", "11", "--columns", "2", "--output", str(file)]
    assert sample.main([*arguments, "--psi", "0.5"]) == 0
    sheet = photo_files.read_photo(file)
    assert sheet.shape == (2 * 84 + 4, 2 * 64 + 4, 3)
    generator = jaxgan.load_generator(tiny_network)
    z = np.random.RandomState(3).randn(1, 8)[0]  # as other tools draw it
    ws = jax.jit(lambda z: generator.mapping(z, None))(jnp.asarray(z, jnp.float32))
    w_avg = generator.mapping.w_avg[...]
    image = jax.jit(generator.synthesis)(w_avg[None, :] + 0.5 * (ws - w_avg[None, :]))
    expected = images.to_uint8(np.asarray(image)).repeat(4, 0).repeat(4, 1)
    assert np.abs(tile(sheet, 1).astype(int) - expected).max() <= 1  # another compilation may round another way
    assert sample.main([*arguments, "--psi", "0"]) == 0  # the mean latent alone
    mean = photo_files.read_photo(file)
    np.testing.assert_array_equal(tile(mean, 0), tile(mean, 1))
    assert (tile(sheet, 0) != tile(sheet, 1)).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "-1"), "--seeds: expected one or more numbers from 0"),
        (("--psi", "nan"), "--psi is nan; expected a number"),
        (("--columns", "0"), "--columns is 0; expected 1 or more"),
        (("--label", "0"), "label is 0; this generator is not class-conditional"),
        (("--model", "absent"), "absent is no converted network"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sample.main(list(arguments)) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_without_a_label_classes_come_in_turn(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(latents, "mapped_samples", lambda *_, label, **__: asked.append(label) or jnp.zeros((1, 8)))
    from flax import nnx

    config = jaxgan.GeneratorConfig(16, z_dim=8, w_dim=8, c_dim=2, mapping_layers=2, channel_base=64, channel_max=8)
    generator = jaxgan.Generator(config, rngs=nnx.Rngs(0))
    monkeypatch.setattr(jaxgan, "load_generator", lambda model: generator)
    sample.run(sample.SampleOptions(seeds=(5, 6, 7), output=tmp_path / "sheet.png"))
    sample.run(sample.SampleOptions(seeds=(5, 6), output=tmp_path / "sheet.png", label=1))
    assert asked == [0, 1, 0, 1, 1]
