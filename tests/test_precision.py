"""The number formats: what stays float32, how far results lie apart, that float16 neither over- nor underflows."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from parity import REFERENCE, relative_error

import jaxgan
from convert import stylegan2
from experiments.bench import accuracy
from jaxgan import checkpoints, latents, losses, optimization, precision, start
from jaxgan.convolutions import prepare
from jaxgan.inversion_config import InversionConfig

CONFIG = InversionConfig(steps=10, w_samples=100, noise_reg_weight=0.0)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A tiny network whose activations reach the clamp at 256 in every block, as half-precision training left them."""
    folder = tmp_path_factory.mktemp("converted") / "ada_clamp_fp16_tiny"
    config, weights = stylegan2.read(REFERENCE / "ada_clamp_fp16_tiny.pkl")
    checkpoints.save_generator(folder, config, weights, {})
    return checkpoints.load_generator(folder)


@pytest.fixture(scope="module")
def problem(generator, lpips):
    z = jax.random.normal(jax.random.key(1), (generator.config.z_dim,))
    target = jax.jit(lambda generator, z: generator.synthesis(generator.mapping(z)))(generator, -z)
    problem = optimization.make_problem(generator, lpips, target, jaxgan.Identity(), CONFIG)
    noise = latents.sample_noise(jax.random.key(3), generator.config.noise_shapes)
    return problem, latents.Latents(generator.mapping(z), noise)


def settings(name: str) -> InversionConfig:
    return dataclasses.replace(CONFIG, precision=name)


@jax.jit
def render(generator, latents_):
    return [
        generator.synthesis(latents_.w, latents_.noise, dtype=dtype) for dtype in ("float32", "bfloat16", "float16")
    ]


def test_images_in_16_bits(generator, problem):
    image, in_bfloat16, in_float16 = render(generator, problem[1])
    assert in_float16.dtype == in_bfloat16.dtype == jnp.float32
    assert 1e-5 < relative_error(in_float16, image) < 6e-3  # seen: 5.1e-4
    assert 1e-4 < relative_error(in_bfloat16, image) < 4e-2  # seen: 4.2e-3


def test_float16_does_not_overflow_whatever_the_size_of_the_weights(generator, problem):
    """Demodulation cancels it: kernels 1e4 and styles 1e3 times as large, products of 1e9, give the same picture."""
    large = jax.tree.map(lambda leaf: leaf, generator)
    for resolution in (8, 16, 32):
        block = getattr(large.synthesis, f"b{resolution}")
        for layer in (block.conv0, block.conv1):
            layer.kernel[...] = 1e4 * layer.kernel[...]
            layer.affine.kernel[...], layer.affine.bias[...] = (
                1e3 * layer.affine.kernel[...],
                1e3 * layer.affine.bias[...],
            )
    image, _, expected = render(generator, problem[1])
    _, _, ours = render(large, problem[1])
    assert np.isfinite(ours).all() and relative_error(ours, image) < 6e-3
    assert relative_error(ours, expected) < 6e-3


@pytest.fixture(scope="module")
def gradients(generator, lpips, problem):
    """Loss and gradient of every precision that differs on CPUs."""

    @jax.jit
    def compute(generator, lpips, problem, latents_):
        return [
            jax.value_and_grad(
                lambda latents_, name=name: (
                    optimization.loss_terms(
                        generator, lpips, problem._replace(program=settings(name).program()), latents_, KEY
                    ).total
                )
            )(latents_)
            for name in names
        ]

    names = ("float32", "bfloat16", "float16")
    return dict(zip(names, compute(generator, lpips, *problem), strict=True))


@pytest.mark.parametrize(
    ("name", "of_loss", "of_w", "of_noise"),
    # Some times what was seen of the loss, three times of gradients, which flips of ReLU and pooling dominate.
    [("float16", 5e-3, 0.1, 0.3), ("bfloat16", 2e-2, 0.1, 0.45)],
)
def test_losses_and_gradients(gradients, name, of_loss, of_w, of_noise):
    """Seen, of loss, w and the worst noise map: float16 9e-4, 0.040, 0.11; bfloat16 5e-3, 0.034, 0.15."""
    (loss, gradient), (expected_loss, expected) = gradients[name], gradients["float32"]
    np.testing.assert_allclose(loss, expected_loss, rtol=of_loss)
    assert relative_error(gradient.w, expected.w) < of_w
    for ours, theirs in zip(gradient.noise, expected.noise, strict=True):
        assert ours.dtype == jnp.float32 and relative_error(ours, theirs) < of_noise


def test_a_gradient_too_small_for_float16_is_kept():
    """2^-30 is no float16, whose smallest positive number is 2^-24; each example of a batch has its own scale."""

    def half(x):
        return (x.astype(jnp.float16) * jnp.float16(0.5)).astype(jnp.float32)

    x, small = jnp.ones((3, 2)), jnp.array([[2.0**-30, -(2.0**-31)], [2.0**20, 1.0], [0.0, 0.0]])
    _, plain = jax.vjp(jax.vmap(half), x)
    assert not plain(small)[0][0].any()
    _, balanced = jax.vjp(jax.vmap(precision.balance_gradient(half)), x)
    np.testing.assert_array_equal(balanced(small)[0], 0.5 * small)


def test_prescaling_cancels():
    rng = np.random.default_rng(0)
    kernel, styles = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((3, 3, 5, 4), (5,)))
    scaled_kernel, scaled_styles, undo = precision.prescale(kernel, styles)
    assert float(jnp.max(jnp.abs(scaled_styles))) == 1
    np.testing.assert_allclose(jnp.max(jnp.abs(scaled_kernel), (0, 1, 2)), 45**-0.5, rtol=1e-6)
    product = scaled_kernel * scaled_styles[None, None, :, None] * undo[None, None, None, :]
    np.testing.assert_allclose(product, kernel * styles[None, None, :, None], rtol=1e-6)
    zero = precision.prescale(jnp.zeros_like(kernel), jnp.zeros_like(styles))
    assert np.isfinite(jax.tree.leaves(zero)[0]).all()


KEY = jax.random.key(0)  # nothing is drawn from it
PRIOR = optimization.Prior(latents.WStatistics(jnp.zeros(8), jnp.ones(())), None)


@pytest.fixture(scope="module")
def small(lpips):
    """A random network of 16x16 pixels, a problem with black as its target, and the first state."""
    config = jaxgan.GeneratorConfig(16, z_dim=8, w_dim=8, channel_base=256, channel_max=16)
    generator = jaxgan.Generator(config, rngs=nnx.Rngs(0))
    target = jnp.full(config.image_shape, -1.0)
    problem = optimization.make_problem(generator, lpips, target, jaxgan.Identity(), CONFIG, prior=PRIOR)
    return generator, problem, optimization.initial_state(generator, problem.start, CONFIG, jax.random.key(0))


@pytest.mark.parametrize(
    ("name", "products", "dtypes"),
    [
        ("float32", "HIGHEST", {"f32"}),
        ("tensorfloat32", "HIGH", {"f32"}),
        ("bfloat16", "HIGH", {"f32", "bf16"}),
        ("float16", "HIGHEST", {"f16"}),
    ],
)
def test_what_gpus_are_asked_for(small, lpips, name, products, dtypes):
    """By default XLA computes float32 products in TF32 there: every product says what it wants."""
    small, problem, state = small

    @jax.jit
    def step(small, lpips, problem, state):
        small, lpips = (prepare(network, platform="cuda", batch=1) for network in (small, lpips))
        problem = problem._replace(program=settings(name).program())
        return optimization.step(small, lpips, problem, state, jnp.zeros_like(state.latents.w), jax.random.key(0))

    with jax.default_matmul_precision("default"):  # instead of the tests' own
        text = step.trace(small, lpips, problem, state).lower(lowering_platforms=("cuda",)).as_text()
    assert not widened_operands(text)
    found = re.findall(r"stablehlo\.(?:convolution|dot_general).*", text)
    assert len(found) > 60
    asked = [set(re.findall(r"precision (\w+)>", line) + re.findall(r"precision = \[(\w+), ", line)) for line in found]
    assert all(one == {products} for one in asked), found[0]
    convolutions = [line.rsplit("x", 1)[1] for line in found if line.startswith("stablehlo.convolution")]
    assert len(convolutions) > 35 and {dtype.removesuffix(">") for dtype in convolutions} == dtypes


def widened_operands(text: str) -> list[str]:
    """Products whose operand is a feature map that was widened from 16 to 32 bits: it would be written to memory so.

    All other widening is the beginning of an elementwise formula or of a sum, and happens where that is computed.
    """
    found = []
    for function in text.split("func.func")[1:]:
        widened = set(re.findall(r"(%\S+) = stablehlo\.convert .*x\d+x\d+xf16>\) -> tensor<\S*f32>", function))
        products = re.findall(r"stablehlo\.(?:convolution|dot_general).*", function)
        found += [line for line in products if widened & set(re.findall(r"%[\w#]+", line))]
    return found


def asked_products(function, *arguments) -> set:
    """The precision of every matrix product and convolution that a function asks for where JAX's default rules."""
    asked = []

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                asked.append(equation.params["precision"])
            for inner in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns") or hasattr(leaf, "jaxpr")
            ):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    visit(inner)

    with jax.default_matmul_precision(None):  # instead of the tests' own
        visit(jax.make_jaxpr(function)(*arguments).jaxpr)
    return set(asked)


REPORTED = {
    "LPIPS and its gradient": lambda small, lpips, image: jax.value_and_grad(lpips)(image, -image),
    "renders": lambda small, lpips, image: optimization.render(
        small, latents.Latents(jnp.zeros(8), small.synthesis.noise_const())
    ),
    "blur": lambda small, lpips, image: jaxgan.GaussianBlur(jnp.float32(1), 3)(image),
    "area resizing": lambda small, lpips, image: losses.area_resize(image, 12),
    "statistics of w": lambda small, lpips, image: latents.w_statistics(small, samples=3),
    "renders of the first guess": lambda small, lpips, image: start.draw_samples(small, samples=3).images,
    "first guess": lambda small, lpips, image: start.guess(
        start.Samples(jnp.zeros((3, 8)), jnp.zeros((3, 16, 16, 3), jnp.uint8)), jaxgan.Identity(), image
    ),
    "features of the observation": lambda small, lpips, image: (
        optimization.make_problem(small, lpips, image, jaxgan.Identity(), settings("float16"), prior=PRIOR).start
    ),
}
"""What makes an observation or a first guess, or is reported."""


@pytest.mark.parametrize("name", REPORTED)
def test_what_is_reported_is_float32(small, lpips, name):
    """Whatever device and default: in TF32, products would be those of numbers with 10 bits."""
    image = jnp.zeros((16, 16, 3))
    highest = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    assert asked_products(REPORTED[name], small[0], lpips, image) == {highest}


def test_the_check_sees_what_is_not_asked_for(small, lpips):
    """Features alone take the precision of the step around them."""
    assert asked_products(lpips.features, jnp.zeros((16, 16, 3))) == {None}


def test_an_unknown_precision_is_told(unchecked_shapes):
    with pytest.raises(ValueError, match="precision must be one of float32, .*, got 'float8'"):
        InversionConfig(precision="float8")


@pytest.fixture(scope="module")
def distances_in_float32(demo, lpips):
    return accuracy.final_distances(demo, lpips, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_the_result_is_as_near_in_16_bits(demo, lpips, distances_in_float32, name):
    """Within 1 %, as far as that can be told: any change of rounding moves the mean of eight faces by 2 or 3 %."""
    ours, expected = accuracy.final_distances(demo, lpips, name), distances_in_float32
    ratio, error = accuracy.relative(ours, expected)
    print(f"\nLPIPS by key, float32: {expected.mean(1).round(4)}, {name}: {ours.mean(1).round(4)}")
    print(f"{name}: {np.exp(ratio):.3f} times that of float32, standard error {error:.3f}")
    assert error < 0.03 and ratio < 0.01 + 2 * error


def test_ratios_and_their_error():
    """Of 32 inversions, half of which are a tenth farther: five percent, give or take one."""
    expected = np.full((4, 8), 0.04)
    ours = expected * np.tile([1.0, 1.1], (4, 4))
    ratio, error = accuracy.relative(ours, expected)
    assert ratio == pytest.approx(np.log(1.1) / 2) and error == pytest.approx(np.log(1.1) / 2 / 31**0.5)


def test_a_precision_that_is_none_is_told_before_any_inversion(unchecked_shapes):
    with pytest.raises(ValueError, match="got 'float8'"):
        accuracy.measure(["float16", "float8"])
