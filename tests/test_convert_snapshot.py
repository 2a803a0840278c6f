"""Snapshots: the inference of the configuration, and what is refused. Parity: test_convert_golden.py."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from convert import inference, stylegan2
from convert.files import torch_files
from convert.files.stand_ins import Module
from convert.formats import official_names, snapshot
from convert.rules import ConversionError
from jaxgan import GeneratorConfig

REFERENCE = Path(__file__).parent / "reference"

# All golden networks, from reference/README.md.
TINY = GeneratorConfig(32, z_dim=48, w_dim=48, mapping_layers=3, channel_base=512, channel_max=32)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ada_tiny", {}),
        ("ada_cond_tiny", {"c_dim": 5}),
        ("ada_clamp_fp16_tiny", {"conv_clamp": 256.0}),
        ("ada_resnet_tiny", {"architecture": "resnet"}),
        ("sg3repo_stylegan2_tiny", {}),
        ("sg3repo_stylegan2_defaults_tiny", {"conv_clamp": 256.0}),
    ],
)
def test_configuration_is_inferred_and_arrays_return_exactly(name, changes):
    path = REFERENCE / f"{name}.pkl"
    config, weights = stylegan2.read(path)
    assert config == dataclasses.replace(TINY, **changes)
    arrays = torch_files.flat_arrays(torch_files.read_snapshot(path)["G_ema"])
    back = official_names.state_dict(config, weights)
    assert back.keys() == arrays.keys()
    for key in arrays:
        np.testing.assert_array_equal(back[key], arrays[key], strict=True)


def _network() -> Module:
    return torch_files.read_snapshot(REFERENCE / "ada_tiny.pkl")["G_ema"]


def _modules() -> dict[str, Module]:
    return torch_files.named_modules(_network())


def test_the_stylegan3_projects_flat_arguments_make_no_difference():
    """Its attributes are the same; its constructor arguments, which lack the defaults in force, are not consulted."""
    network = _network()
    for name, module in torch_files.named_modules(network).items():
        module.state["_init_kwargs"] = {"fused_modconv_default": "inference_only"}
        if name.endswith(("conv0", "conv1", "torgb")):
            module.state["conv_clamp"] = 256
    config = snapshot.find_in_module(network).config
    assert config == dataclasses.replace(TINY, conv_clamp=256.0)


def test_orig_architecture_has_one_torgb():
    network = _network()
    for name, module in torch_files.named_modules(network).items():
        if module.class_name == "SynthesisBlock":
            module.state["architecture"] = "orig"
            if name != "synthesis.b32":
                del module.state["_modules"]["torgb"]
    found = snapshot.find_in_module(network)
    config, weights = found.config, found.weights()
    assert config.architecture == "orig"
    assert [path for path in weights if path.endswith("torgb/bias")] == ["synthesis/b32/torgb/bias"]


@pytest.mark.parametrize(
    ("where", "attribute", "value", "message"),
    [
        ("synthesis.b8.conv0", "activation", "relu", "synthesis.b8.conv0 has"),
        ("synthesis.b8.conv0", "up", 1, "synthesis.b8.conv0 has"),
        ("synthesis.b8.conv1", "use_noise", False, "synthesis.b8.conv1 has"),
        ("synthesis.b8.conv1", "conv_clamp", 256, "conv_clamp differs between layers"),
        ("synthesis.b8", "architecture", "resnet", "architecture differs"),
        ("mapping.fc1", "bias_gain", 1, "bias_gain differs"),
        ("synthesis.b8.conv1.affine", "bias_gain", 0.5, "learning-rate multiplier"),
        ("mapping", "num_layers", 8, "another size"),
        ("", "img_resolution", 64, "another size"),
        ("", "z_dim", "many", "z_dim is 'many'"),
    ],
)
def test_contradicting_attributes_are_refused(where, attribute, value, message):
    modules = _modules()
    modules[where].state[attribute] = value
    with pytest.raises(ConversionError, match=message):
        snapshot.find_in_module(modules[""]).weights()


def _with_module(where: str, name: str, class_name: str) -> Module:
    modules = _modules()
    modules[where].state["_modules"][name] = Module(class_name, {})
    return modules[""]


@pytest.mark.parametrize(
    ("generator", "discriminator", "message"),
    [
        (lambda: _with_module("synthesis", "input", "SynthesisInput"), "Discriminator", r"a StyleGAN3 \(alias-free\)"),
        (lambda: _with_module("synthesis", "input", "SynthesisInput"), "ProjectedDiscriminator", "a StyleGAN-XL"),
        (lambda: _with_module("mapping", "embed_proj", "FullyConnectedLayer"), "Discriminator", "a StyleGAN-XL"),
        (lambda: _with_module("synthesis", "init", "FastganSynthesis"), "ProjectedDiscriminator", "a projected GAN"),
        (lambda: Module("TriPlaneGenerator", {}), "DualDiscriminator", "a EG3D"),
        (lambda: Module("Unheard", {}), "Discriminator", "the root is a Unheard, expected Generator"),
        (lambda: _with_module("synthesis", "extra", "Upsampler"), "D", "extra is a Upsampler, expected no such module"),
    ],
)
def test_other_architectures_are_refused_by_name(generator, discriminator, message):
    with pytest.raises(ConversionError, match=message):
        snapshot.find({"G_ema": generator(), "D": Module(discriminator, {})}, which="g_ema")


def test_arrays_beside_the_networks_are_told():
    content = {"G_ema": _network(), "extra": {"weight": np.zeros(3)}, "training_set_kwargs": {"path": "x"}}
    assert snapshot.find(content, which="g_ema").notes == ("ignored as settings or numbers of the training: extra",)


def test_missing_and_misshapen_arrays_are_listed_together():
    modules = _modules()
    modules["mapping.fc0"].state["_parameters"]["weight"] = np.zeros((48, 47), np.float32)
    del modules["synthesis.b16.conv1"].state["_parameters"]["bias"]
    modules["synthesis.b16.conv1"].state["_parameters"]["bias"] = np.zeros(32, np.int64)
    del modules["synthesis.b4"].state["_parameters"]["const"]
    with pytest.raises(ConversionError) as caught:
        snapshot.find_in_module(modules[""]).weights()
    for part in ("mapping.fc0.weight has shape (48, 47)", "b16.conv1.bias has dtype int64", "b4.const is missing"):
        assert part in str(caught.value)


def test_snapshots_without_the_network_are_refused(tmp_path):
    with pytest.raises(ConversionError, match="there is no network G_ema; the networks are D"):
        snapshot.find({"D": Module("Discriminator", {})}, which="g_ema")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}X\x01\x00\x00\x00DK\x01s.")  # {"D": 1}
    with pytest.raises(ConversionError, match="the file holds no arrays, and so no network"):
        stylegan2.read(tmp_path / "a.pkl")


@pytest.mark.parametrize("taps", [(1.0, 3.0, 3.0, 1.0), (1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 4.0, 6.0, 4.0, 1.0)])
def test_whole_taps_are_recovered(taps):
    line = np.float32(taps) / np.float32(sum(taps))
    assert inference.infer_taps({"f": np.outer(line, line)}) == taps


def test_other_taps_keep_their_floats():
    line = np.float32([0.2, 0.3, 0.3, 0.2])
    np.testing.assert_allclose(inference.infer_taps({"f": np.outer(line, line)}), line, rtol=1e-6)
    assert inference.infer_taps({"f": np.full(8, 1 / 8, np.float32)}) == (1.0,) * 8  # long filters stay 1-D


def test_filters_must_agree_and_be_separable():
    with pytest.raises(ConversionError, match="differs between a and b"):
        inference.infer_taps({"a": np.ones((2, 2), np.float32) / 4, "b": np.ones((4, 4), np.float32) / 16})
    with pytest.raises(ConversionError, match="not separable"):
        inference.infer_taps({"a": np.eye(4, dtype=np.float32) / 4})
    with pytest.raises(ConversionError, match="no resample_filter"):
        inference.infer_taps({})


@pytest.mark.parametrize(
    "config", [GeneratorConfig.config_f(), GeneratorConfig.config_e(), GeneratorConfig.config_f(256), TINY]
)
def test_channels_are_recovered(config):
    channels = {r: config.channels(r) for r in config.block_resolutions}
    base, most = inference.infer_channels(channels)
    assert {r: min(base // r, most) for r in channels} == channels
    assert (base, most) == (config.channel_base, config.channel_max)


def test_irregular_channels_are_refused():
    with pytest.raises(ConversionError, match=r"min\(base // r, max\)"):
        inference.infer_channels({4: 16, 8: 32, 16: 16})
