"""Mapping and synthesis against the official networks (tests/reference), and their properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from parity import REFERENCE, call, nhwc, relative_error

from convert import stylegan2
from jaxgan import checkpoints, latents
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig

NETWORKS = ["ada_tiny", "ada_cond_tiny", "ada_clamp_fp16_tiny", "ada_resnet_tiny"]
TOLERANCE = 1e-5  # relative L2, the contract; the errors seen are written beside each comparison


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """`network(name)`: a golden checkpoint, converted and loaded as a user would."""
    loaded = {}

    def load(name: str) -> Generator:
        if name not in loaded:
            folder = tmp_path_factory.mktemp("converted") / name
            config, weights = stylegan2.read(REFERENCE / f"{name}.pkl")
            checkpoints.save_generator(folder, config, weights, {})
            loaded[name] = checkpoints.load_generator(folder)
        return loaded[name]

    return load


def mapped(generator, expected, **truncation):
    labels = jnp.asarray(expected["c"]) if generator.config.c_dim else None
    mapping = jax.jit(lambda mapping, z, c: jax.vmap(lambda z, c: mapping(z, c, **truncation))(z, c))
    return mapping(generator.mapping, jnp.asarray(expected["z"]), labels)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("key", "truncation"),
    [
        ("ws", {}),
        ("ws_psi", {"truncation_psi": 0.7}),
        ("ws_psi_cutoff", {"truncation_psi": 0.7, "truncation_cutoff": 3}),
    ],
)
def test_mapping_equals_the_official_network(network, golden, name, key, truncation):
    expected = golden(f"{name}.expected")
    assert (
        relative_error(mapped(network(name), expected, **truncation), expected[key]) < TOLERANCE
    )  # largest seen: 4e-7


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("noise", ["const", "none"])
def test_images_equal_the_official_network(network, golden, name, noise):
    expected = golden(f"{name}.expected")
    generator = network(name)
    synthesis = jax.jit(lambda synthesis, ws: jax.vmap(lambda ws: synthesis(ws, noise))(ws))
    images = synthesis(generator.synthesis, jnp.asarray(expected["ws"]))
    assert relative_error(images, nhwc(expected[f"image_{noise}"])) < TOLERANCE  # largest seen: 5e-7


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_the_official_network(network, golden, name):
    expected = golden(f"{name}.expected")
    generator = network(name)

    def objective(synthesis, ws, noise):
        images = jax.vmap(synthesis, (0, None))(ws, noise)
        return jnp.sum(images * nhwc(expected["R"]))

    noise = generator.synthesis.noise_const()
    gradients = jax.jit(jax.grad(objective, (1, 2)))(generator.synthesis, jnp.asarray(expected["ws"]), noise)
    assert relative_error(gradients[0], expected["grad_ws"]) < TOLERANCE  # largest seen: 7e-7
    for layer, gradient in zip(expected["meta"]["noise_layers"], gradients[1], strict=True):
        assert relative_error(gradient, expected[f"grad_noise_{layer}"]) < TOLERANCE, layer  # largest seen: 6e-7


def test_every_block_equals_the_official_network(network, golden):
    expected = golden("ada_tiny.expected")
    generator = network("ada_tiny")
    block_outputs = jax.jit(lambda synthesis, ws: jax.vmap(synthesis.block_outputs)(ws))
    outputs = block_outputs(generator.synthesis, jnp.asarray(expected["ws"][:2]))
    for resolution, (x, image) in zip((4, 8, 16, 32), outputs, strict=True):
        assert relative_error(x, nhwc(expected[f"block_b{resolution}_x"])) < TOLERANCE  # largest seen: 5e-7
        assert relative_error(image, nhwc(expected[f"block_b{resolution}_img"])) < TOLERANCE  # largest seen: 5e-7


def test_leaving_out_the_clamp_would_be_seen(network, golden):
    """The golden network's biases make the clamp act; this guards the comparison above against passing without it."""
    expected = golden("ada_clamp_fp16_tiny.expected")
    generator = network("ada_clamp_fp16_tiny")
    assert generator.config.conv_clamp == 256
    state = nnx.state(generator)
    config = GeneratorConfig(**{**vars(generator.config), "conv_clamp": None})
    unclamped = nnx.merge(nnx.split(Generator(config, rngs=nnx.Rngs(0)))[0], state)
    image = call(unclamped.synthesis, jnp.asarray(expected["ws"][0]))
    assert relative_error(image, nhwc(expected["image_const"])[0]) > 1e-3


@pytest.fixture(scope="module", params=["skip", "resnet", "orig"])
def random_network(request):
    config = GeneratorConfig(
        16, z_dim=12, w_dim=20, mapping_layers=2, channel_base=128, channel_max=16, architecture=request.param
    )
    return Generator(config, rngs=nnx.Rngs(0))


def test_psi_one_is_the_identity_and_psi_zero_the_mean(network, golden):
    generator = network("ada_tiny")
    z = jnp.asarray(golden("ada_tiny.expected")["z"][0])
    np.testing.assert_array_equal(generator.mapping(z, truncation_psi=1.0), generator.mapping(z))
    mean = generator.mapping(z, truncation_psi=0.0)
    np.testing.assert_allclose(mean[3], generator.mapping.w_avg[...], rtol=1e-6)


def test_vmap_equals_a_loop(random_network):
    z = jax.random.normal(jax.random.key(1), (3, 12))
    ws = jax.jit(jax.vmap(random_network.mapping))(z)
    images = jax.jit(jax.vmap(random_network.synthesis))(ws)
    for index in range(3):
        np.testing.assert_allclose(call(random_network.mapping, z[index]), ws[index], atol=1e-5)
        np.testing.assert_allclose(
            call(random_network.synthesis, ws[index]), images[index], atol=2e-4
        )  # values to 10; seen: 1e-5


def test_jit_takes_the_network_as_an_argument(random_network):
    ws = random_network.mapping(jnp.ones(12))
    np.testing.assert_allclose(call(random_network.synthesis, ws), random_network.synthesis(ws), atol=2e-4)


def test_given_maps_replace_the_stored_ones(random_network):
    ws = random_network.mapping(jnp.ones(12))
    const = random_network.synthesis.noise_const()
    plain, given, none = (
        jax.jit(lambda synthesis, noise=noise: synthesis(ws, noise))(random_network.synthesis)
        for noise in ("const", const, "none")
    )
    np.testing.assert_array_equal(given, plain)
    zeros = tuple(jnp.zeros_like(map_) for map_ in const)
    np.testing.assert_allclose(call(random_network.synthesis, ws, zeros), none, atol=1e-5)


def test_numbers_of_a_known_configuration():
    """FFHQ at 1024: 18 rows, 17 maps, 512 to 32 channels (StyleGAN2, Table 5 and released networks)."""
    config = GeneratorConfig.config_f(1024)
    assert (config.num_ws, len(config.noise_shapes)) == (18, 17)
    assert [config.channels(r) for r in config.block_resolutions] == [512] * 5 + [256, 128, 64, 32]
    abstract = nnx.eval_shape(lambda: Generator(config, rngs=nnx.Rngs(0)))
    sizes = checkpoints.network_shapes(abstract)
    synthesis = sum(int(np.prod(leaf.shape)) for path, leaf in sizes.items() if "noise_const" not in path)
    assert synthesis - 512 == 30_370_060  # trainable parameters of the released network; w_avg taken off


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.synthesis(jnp.zeros(20)), r"ws has shape \(20,\); .* takes \(6, 20\).*latents.broadcast"),
        (lambda g: g.synthesis(jnp.zeros((6, 20)), "random"), "noise is 'random'; expected 'const', 'none'"),
        (lambda g: g.synthesis(jnp.zeros((6, 20)), (jnp.zeros((4, 4)),)), r"noise maps have shapes \(\(4, 4\),\)"),
        (lambda g: g.mapping(jnp.zeros((2, 12))), r"z has shape \(2, 12\).*use jax.vmap"),
        (lambda g: g.mapping(jnp.zeros(12), jnp.zeros(3)), "c is given; this generator takes no label"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_arguments_are_told(random_network, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(random_network)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_config_lists_all_its_problems():
    with pytest.raises(ValueError, match=r"power of two.*architecture.*w_dim"):
        GeneratorConfig(48, w_dim=0, architecture="dense")


def test_broadcast_repeats_w_and_keeps_w_plus():
    w = jnp.arange(3.0)
    np.testing.assert_array_equal(latents.broadcast(w, num_ws=2), np.array([[0, 1, 2], [0, 1, 2]], np.float32))
    w_plus = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(latents.broadcast(w_plus, num_ws=2), w_plus)


def test_equal_rows_of_w_plus_plus_are_w_plus():
    """Of a network whose layers have fewer, as many and more channels than w has numbers; in a batch, too."""
    config = GeneratorConfig(16, z_dim=8, w_dim=12, mapping_layers=1, channel_base=128, channel_max=16)
    assert [config.channels(r) for r in config.block_resolutions] == [16, 16, 8] and config.w_plus_plus_rows == 16
    generator = Generator(config, rngs=nnx.Rngs(0))
    ws = jax.random.normal(jax.random.key(0), (2, config.num_ws, config.w_dim))
    larger = jnp.repeat(ws[:, :, None], 16, 2)
    batched = jax.jit(jax.vmap(generator.synthesis))
    assert relative_error(batched(larger), batched(ws)) < 1e-5  # seen: 3e-7
    # A row belongs to one channel: the last is read by layers of 16 channels only, which are all but the last two.
    changed = larger.at[0, -2:, 8:].add(1.0)
    assert relative_error(batched(changed)[0], batched(ws)[0]) < 1e-5
    assert relative_error(batched(changed.at[0, 2, 15].add(1.0))[0], batched(ws)[0]) > 1e-3
    with pytest.raises(ValueError, match=r"ws has shape \(6, 15, 12\)"):
        generator.synthesis(larger[0, :, :15])
