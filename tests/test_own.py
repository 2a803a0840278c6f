"""Degradations of one's own: the documented example, in the library and by the command, and mistakes that are told."""

import dataclasses
import re
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import FILES, QUICK, pixels, refused, succeed

import jaxgan
from experiments.restore import own
from experiments.runs import folder as run_folders
from jaxgan import check_degradation, images
from jaxgan.errors import UserError

pytestmark = pytest.mark.usefixtures("unchecked_shapes", "narrow_lpips")
IMPORTS = "import dataclasses\n\nimport jax\nimport jax.numpy as jnp\nimport numpy as np\n\nimport jaxgan\n\n\n"


def example() -> str:
    """The class of the docstring of `Degradation`."""
    lines = textwrap.dedent(jaxgan.Degradation.__doc__.split("\n", 1)[1]).splitlines()
    code = [line for line in lines if line.startswith("    ") or not line]
    return IMPORTS + textwrap.dedent("\n".join(code)).strip() + "\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "light.py"
    path.write_text(example())
    return path


def test_the_example_for_people_with_a_photograph_is_one(tmp_path):
    document = (Path(__file__).parent.parent / "PHOTOGRAPHS.md").read_text()
    (tmp_path / "interlaced.py").write_text(re.search(r"```python\n(.*?)```", document, re.DOTALL).group(1))
    interlaced = own.load(f"{tmp_path / 'interlaced.py'}:Interlaced")
    image = jnp.linspace(-1, 1, 16 * 16 * 3).reshape(16, 16, 3)
    check_degradation(interlaced)
    np.testing.assert_array_equal(interlaced(image), jnp.repeat(image[::2], 2, axis=0))


def test_the_documented_example_is_a_linear_degradation_that_the_library_restores(file, crops):
    vignette = own.load(f"{file}:Vignette")
    assert own.load(f"{file}:Vignette") is vignette
    check_degradation(vignette)
    truth = images.to_float(images.resize(crops[1], 16))
    # By hand: in the corner the light is 1 - .8 (1 + 1) / 2 = .2 of white, that is 2 * .2 - 1.
    np.testing.assert_allclose(vignette(jnp.ones((16, 16, 3)))[0, 0], -0.6, atol=1e-6)
    dimmer = dataclasses.replace(vignette, strength=jnp.float32(0.4))
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), vignette, dimmer)
    assert jaxgan.has_inverse(vignette, (16, 16, 3))
    restored = jaxgan.restore(np.asarray(vignette(truth)), vignette, np.zeros_like(truth))
    assert np.abs(restored - truth).mean() < 0.1 * np.abs(truth).mean()  # by its inverse alone
    both = jax.vmap(lambda f: f(truth))(stacked)
    np.testing.assert_allclose(both[1], dimmer(truth), atol=1e-6)


@pytest.mark.slow
def test_the_command_restores_a_chain_with_it(file, crops, tiny_network, tmp_path):
    """Dimmed in the corners, reduced and compressed: undone in two pieces, and each tile is nearer to what was seen."""
    images.write_png(tmp_path / "face.png", images.resize(crops[1], 16))
    options = ("--task", "own", "--degradation", f"{file}:Vignette", "--also", "dejpeg", "upsample", "--factor", 2)
    options = (*options, "--quality", 40, *QUICK, "--model", tiny_network)
    succeed(*options, "--image", tmp_path / "face.png", "--output", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    measured = run_folders.result(tmp_path / "out")
    assert measured["restoration"]["inverse"] == "coefficients moved into the file's intervals, then conditional mean"
    distances = {name: measured[name]["against_observed"]["psnr"] for name in ("restoration", "reconstruction")}
    assert distances["restoration"] > distances["reconstruction"]
    observed = pixels(tmp_path / "out" / "observed.png")
    assert (observed.reshape(8, 2, 8, 2, 3) == observed[::2, ::2].reshape(8, 1, 8, 1, 3)).all()
    assert observed[0, 0].mean() < 0.5 * observed[8, 8].mean()


CLASSES = {
    "Bare": ("class Bare:\n    pass\n", "Bare is no degradation; expected methods __call__"),
    "Plain": (
        "class Plain(jaxgan.CompleteObservation):\n    def __call__(self, image):\n        return image\n",
        "Plain is no pytree; write @jaxgan.pytree",
    ),
    "Numpy": ("return np.clip(np.asarray(image), 0, 1)", "Numpy cannot be traced by JAX (TracerArrayConversionError"),
    "Branch": ("return image if image.mean() > 0 else -image", "choose by jnp.where, not by `if`"),
    "Small": (
        "return image[::2, ::2]",
        "Small makes float32[8, 8, 3] of an image float32[16, 16, 3]; expected the same",
    ),
    "Log": ("return jnp.log(image + 1)", "Log of a black image has values that are not finite"),
    "Root": ("return jnp.sqrt(image + 1)", "Root of a black image has derivatives that are not finite"),
    "Stairs": ("return jnp.round(4 * image) / 4", "Stairs has the derivative 0 everywhere"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_mistakes_of_a_class_are_told_with_what_to_do(name, tmp_path):
    body, message = CLASSES[name]
    if not body.startswith("class"):
        head = "@jaxgan.pytree\n@dataclasses.dataclass(frozen=True)\n"
        body = f"{head}class {name}(jaxgan.CompleteObservation):\n    def __call__(self, image):\n        {body}\n"
    (tmp_path / "own.py").write_text(IMPORTS + body)
    with pytest.raises(UserError) as told:
        own.load(f"{tmp_path / 'own.py'}:{name}")
    assert message in str(told.value)


def test_a_field_that_is_no_number_is_told():
    @jaxgan.pytree
    @dataclasses.dataclass(frozen=True)
    class Named(jaxgan.CompleteObservation):
        name: str = "light"

        def __call__(self, image):
            return image

    with pytest.raises(TypeError, match=r"Named holds 'light', which is no number or array; give that field"):
        check_degradation(Named())
    with pytest.raises(TypeError, match=r"Named is a class; expected an instance of it, Named\(...\)"):
        check_degradation(Named)


def test_the_library_tells_mistakes_before_the_loop(tiny, narrow):
    @jaxgan.pytree
    @dataclasses.dataclass(frozen=True)
    class Steep(jaxgan.CompleteObservation):
        scale: jax.Array

        def __call__(self, image):
            return self.scale * jnp.sqrt(image + 1)

    chain = jaxgan.Compose((jaxgan.Grayscale(), Steep(jnp.float32(2))))
    config, picture = jaxgan.InversionConfig(steps=1), jnp.zeros(tiny.config.image_shape)
    with pytest.raises(ValueError, match="Steep of a black image has derivatives that are not finite"):
        jaxgan.invert(tiny, narrow, picture, chain, config, jax.random.key(0))
    pair = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), chain)
    with pytest.raises(ValueError, match="Steep of a black image has derivatives that are not finite"):
        jaxgan.invert_batch(tiny, narrow, jnp.stack([picture] * 2), pair, config, jax.random.split(jax.random.key(0)))


def test_mistakes_of_a_file_are_told(tmp_path):
    (tmp_path / "own.py").write_text("x = 1 / 0\n")
    with pytest.raises(UserError, match="ZeroDivisionError: division by zero"):
        own.load(f"{tmp_path / 'own.py'}:A")
    (tmp_path / "empty.py").write_text("")
    assert "empty.py has no class A" in refused(
        "--task", "own", "--degradation", f"{tmp_path / 'empty.py'}:A", "--output", tmp_path / "out"
    )
