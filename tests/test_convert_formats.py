"""Random networks of every architecture in every format, against the independent PyTorch forward; state dicts."""

import argparse
import dataclasses
import json

import checkpoint_writers
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from checkpoint_writers import NETWORKS, random_weights, rosinality_arrays
from parity import CASES, REFERENCE

from convert import stylegan2, verify
from convert.__main__ import main
from convert.formats import official_names
from convert.rules import ConversionError
from jaxgan import checkpoints

UNCONDITIONAL = [name for name, config in NETWORKS.items() if not config.c_dim]
SKIP = [name for name in UNCONDITIONAL if NETWORKS[name].architecture == "skip"]
NAMES = {
    "stylegan2-ada-pytorch": list(NETWORKS),
    "stylegan2-tensorflow": list(NETWORKS),
    "rosinality": SKIP,
    "rosinality-decoder": SKIP[:1],
    "basicsr": SKIP[:1],
    "genforce": [name for name in UNCONDITIONAL if len(NETWORKS[name].resample_filter) == 4],
}
COMBINATIONS = [(file_format, name) for file_format, names in NAMES.items() for name in names]


@pytest.mark.parametrize(("file_format", "name"), COMBINATIONS)
def test_every_architecture_in_every_format(tmp_path, file_format, name):
    config = NETWORKS[name]
    weights = random_weights(config)
    checkpoint_writers.write(tmp_path / "file", file_format, config, weights)
    assert main(["stylegan2", str(tmp_path / "file"), "--output", str(tmp_path / "network")]) == 0
    generator = checkpoints.load_generator(tmp_path / "network")
    assert dataclasses.replace(generator.config, source="", source_sha256="") == config
    for path, array in checkpoints.network_arrays(generator).items():
        # TensorFlow's and genforce's biases of styles + 1 round once on the way there and once on the way back.
        rounded = file_format in ("stylegan2-tensorflow", "genforce") and path.endswith("affine/bias")
        if file_format != "basicsr" or path != "mapping/w_avg":  # which its files lack
            np.testing.assert_allclose(array, weights[path], rtol=0, atol=5e-7 if rounded else 0)
    errors = verify.compare(tmp_path / "file", tmp_path / "network")
    assert {name: error for name, error, _ in errors if not error < verify.TOLERANCE} == {}  # largest seen: 1e-6


def test_a_wrong_network_is_seen_by_verify(tmp_path, capsys):
    config = NETWORKS["skip, RGBA, 8 layers, narrow"]
    weights = random_weights(config)
    checkpoint_writers.write(tmp_path / "a.pt", "rosinality", config, weights)
    weights["synthesis/b8/conv0/kernel"] = weights["synthesis/b8/conv0/kernel"][::-1, ::-1].copy()  # flipped
    checkpoints.save_generator(tmp_path / "network", config, weights, {})
    assert main(["verify", str(tmp_path / "a.pt"), str(tmp_path / "network")]) == 2
    captured = capsys.readouterr()
    assert "differs from" in captured.err and "b4 image" not in captured.err and "b8 features" in captured.err


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A converted golden network: its folder, its configuration and its state dict."""
    folder = tmp_path_factory.mktemp("tiny") / "network"
    assert main(["stylegan2", str(REFERENCE / "ada_clamp_fp16_tiny.pkl"), "--output", str(folder)]) == 0
    generator = checkpoints.load_generator(folder)
    return folder, official_names.state_dict(generator.config, checkpoints.network_arrays(generator))


def _save(arrays, path):
    if path.suffix == ".pt":
        torch.save({name: torch.tensor(np.array(array)) for name, array in arrays.items()}, path)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        safetensors.numpy.save_file({n: np.array(a, order="C") for n, a in arrays.items()}, path)
    return path


@pytest.mark.parametrize("ending", ["pt", "npz", "safetensors"])
def test_state_dicts_need_an_example_and_are_exact(tmp_path, tiny, ending):
    folder, arrays = tiny
    path = _save(arrays, tmp_path / f"a.{ending}")
    with pytest.raises(ConversionError, match="does not say all of its network.*--like"):
        stylegan2.find(path)
    for like in (folder, folder / "config.json"):
        config, weights = stylegan2.read(path, like=like)
        assert config.conv_clamp == 256 and config.mapping_lr_multiplier == 0.01
        back = official_names.state_dict(config, weights)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array)


def test_all_problems_of_a_state_dict_come_in_one_error(tmp_path, tiny):
    folder, arrays = tiny
    changed = {**arrays, "extra.weight": np.zeros(3, np.float32)}
    del changed["synthesis.b8.conv0.bias"]
    changed["mapping.fc0.weight"] = np.zeros((48, 47), np.float32)
    changed["mapping.fc1.bias"] = np.zeros(48, np.int32)
    with pytest.raises(ConversionError, match="4 problems") as caught:
        stylegan2.read(_save(changed, tmp_path / "a.pt"), like=folder)
    for part in ("b8.conv0.bias is missing", "extra.weight is unknown", "(48, 47)", "dtype int32"):
        assert part in str(caught.value)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@pytest.mark.parametrize(
    ("dtype", "note"),
    [
        (torch.float16, "float16 were widened to float32, exactly"),
        (torch.bfloat16, "bfloat16 were widened to float32, exactly"),
        (torch.float64, "float64 were rounded to float32"),
    ],
)
def test_other_precisions_become_float32(tmp_path, tiny, dtype, note, ending):
    folder, arrays = tiny
    path = tmp_path / f"a.{ending}"
    tensors = {k: torch.tensor(np.array(a, order="C")).to(dtype) for k, a in arrays.items()}
    torch.save(tensors, path) if ending == "pt" else safetensors.torch.save_file(tensors, path)
    found = stylegan2.find(path, like=folder)
    back = official_names.state_dict(found.config, found.weights())
    assert note in found.notes[0]
    for name, tensor in tensors.items():
        if not name.endswith("resample_filter"):
            np.testing.assert_array_equal(back[name], tensor.float().numpy())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"z_dim": 48.0}, "describes no generator"),
        ({"resolution": "x"}, "describes no generator"),
        ({"mapping_layers": 2**40}, "the network claims sizes"),
        ({"z_dim": 10**9}, "the network claims sizes"),
    ],
)
def test_an_example_with_values_of_other_kinds_is_told(tmp_path, tiny, change, said):
    folder, arrays = tiny
    settings = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"config": settings["config"] | change}))
    with pytest.raises(ConversionError, match=said):
        stylegan2.find(_save(arrays, tmp_path / "a.npz"), like=tmp_path)


def test_an_example_must_be_one_and_fit(tmp_path, tiny):
    folder, arrays = tiny
    path = _save(arrays, tmp_path / "a.npz")
    with pytest.raises(ConversionError, match=r"--like .* describes no generator"):
        stylegan2.find(path, like=tmp_path / "missing.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ConversionError, match=r"--like .* describes no generator"):
        stylegan2.find(path, like=tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings["config"]["resample_filter"] = [1.0, 1.0]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConversionError, match=r"resample_filter has taps \(1.0, 3.0, 3.0, 1.0\)"):
        stylegan2.find(path, like=tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["synthesis.input.freqs"], "a StyleGAN3"),
        (["synthesis.init.FastganInit.weight"], "a projected GAN"),
        (["generator.ecd0.0.weight"], "those of GPEN"),
        (["params_ema.quantize.embedding.weight"], "those of CodeFormer"),
        (["params_ema.conv_first.weight", "params_ema.body.0.rdb1.conv1.weight"], "those of ESRGAN"),
        (["d.convs.0.0.weight", "d.final_linear.0.weight"], "those of a StyleGAN2 discriminator without"),
        (["stylegan_decoder.constant_input.weight", "stylegan_decoder.style_conv1.bias"], "'clean' decoder of GFPGAN"),
        (["layer.weight"], "no StyleGAN2 generator g_ema among its 1 arrays"),
    ],
)
def test_state_dicts_of_other_networks_are_refused(tmp_path, names, message):
    path = _save({name: np.zeros(2, np.float32) for name in names}, tmp_path / "a.safetensors")
    with pytest.raises(ConversionError, match=message):
        stylegan2.find(path)


ROSINALITY = NETWORKS["skip, RGBA, 8 layers, narrow"]


def test_the_decoder_of_gfpgan_is_basicsrs_network(tmp_path):
    content = torch.load(CASES / "basicsr_names.pth", weights_only=True)["params_ema"]
    around = {"conv_body_first.weight": torch.zeros(3, 3), "condition_scale.0.2.bias": torch.ones(3)}
    torch.save({"params_ema": {f"stylegan_decoder.{n}": a for n, a in content.items()} | around}, tmp_path / "a.pth")
    found, control = stylegan2.find(tmp_path / "a.pth"), stylegan2.find(CASES / "basicsr_names.pth")
    assert found.format == "gfpgan-decoder" and "GFPGAN's network around the decoder" in found.notes[-1]
    ours, theirs = found.weights(), control.weights()
    assert all(np.array_equal(ours[path], theirs[path]) for path in theirs)


def test_a_training_checkpoint_without_mean_latent(tmp_path):
    """rosinality's own training writes two generators, optimizers and arguments, but no latent_avg."""
    weights = random_weights(ROSINALITY)
    # Small weights and a large bias: w hardly depends on z, so that its mean is known without this network.
    for path in weights:
        if path.startswith("mapping/fc"):
            weights[path] = weights[path] * 1e-3 if path.endswith("kernel") else np.full_like(weights[path], 200)
    arrays = rosinality_arrays(ROSINALITY, weights)
    state = {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.002}]}
    content = {"g": {**arrays, "input.input": -arrays["input.input"]}, "g_ema": arrays, "d": {"w": torch.zeros(2)}}
    content |= {"g_optim": state, "d_optim": state, "args": argparse.Namespace(size=32), "ada_aug_p": 0.0}
    torch.save(content, tmp_path / "550000.pt")
    found = stylegan2.find(tmp_path / "550000.pt")
    assert "the file has no latent_avg" in found.notes[0]
    # 200 * 0.01 through a leaky ReLU of gain sqrt(2); the layer's input adds little to it.
    np.testing.assert_allclose(found.weights()["mapping/w_avg"], 2 * np.sqrt(2), rtol=1e-2)
    last = stylegan2.find(tmp_path / "550000.pt", which="g").weights()
    np.testing.assert_array_equal(last["synthesis/b4/const"], -weights["synthesis/b4/const"])


def test_the_mean_latent_of_a_file_without_it_is_the_mapping_networks(tmp_path):
    """Against jaxgan's mapping network on other z: 10,000 draws leave a standard error of one percent of w's spread."""
    import jax

    weights = random_weights(ROSINALITY)
    # Stored weights of unit variance after the learning-rate multiplier of 0.01, so that w varies with z.
    weights |= {p: 100 * array for p, array in weights.items() if p.startswith("mapping/fc")}
    torch.save({"g_ema": rosinality_arrays(ROSINALITY, weights)}, tmp_path / "a.pt")
    assert main(["stylegan2", str(tmp_path / "a.pt"), "--output", str(tmp_path / "network")]) == 0
    generator = checkpoints.load_generator(tmp_path / "network")
    z = jax.random.normal(jax.random.key(1), (10_000, ROSINALITY.z_dim))
    ws = np.asarray(jax.vmap(generator.mapping)(z)[:, 0], np.float64)
    assert ws.std(0).min() > 0.05  # the test would say nothing otherwise
    bound = 6 * np.sqrt(2) * ws.std(0) / 100
    assert (np.abs(ws.mean(0) - generator.mapping.w_avg[...]) < bound).all()
    notes = json.loads((tmp_path / "network" / "config.json").read_text())["conversion"]["notes"]
    assert len(notes) == 1 and "RandomState(123)" in notes[0]


def _rosinality_content():
    weights = random_weights(ROSINALITY)
    return {"g_ema": rosinality_arrays(ROSINALITY, weights), "latent_avg": torch.tensor(weights["mapping/w_avg"])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(latent_avg=torch.randn(4, 16)), "rows of latent_avg differ"),
        (lambda c: c["g_ema"].pop("noises.noise_3"), "1 problems: noises.noise_3 is missing"),
        (lambda c: c["g_ema"].update({"convs.0.conv.blur.kernel": torch.ones(4, 4)}), "resample_filter differs"),
        (lambda c: c.update(critic={"w": torch.zeros(3)}), r"1 arrays beside the generator are unknown: critic\.w"),
        (lambda c: c["g_ema"].update({"style.1.weight": torch.zeros(3)}), "no generator of the format rosinality"),
        (lambda c: c["g_ema"].update({"conv1.noise.weight": torch.zeros(2)}), r"conv1\.noise\.weight has shape \(2,\)"),
    ],
)
def test_contradicting_rosinality_files_are_refused(tmp_path, change, message):
    content = _rosinality_content()
    change(content)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ConversionError, match=message):
        stylegan2.read(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nonlinearity": "relu"}, "nonlinearity"),
        ({"use_noise": False}, "use_noise"),
        ({"resolution": 64}, r"resolution 64 \(found 32\)"),
        ({"architecture": "resnet"}, r"architecture resnet \(found skip\)"),
        ({"resample_kernel": "wide"}, "no StyleGAN2 configuration"),
    ],
)
def test_contradicting_tensorflow_files_are_refused(tmp_path, arguments, message):
    checkpoint_writers.write_tensorflow(tmp_path / "a.pkl", ROSINALITY, random_weights(ROSINALITY), **arguments)
    with pytest.raises(ConversionError, match=message):
        stylegan2.read(tmp_path / "a.pkl")


def test_stylegan1_is_refused_by_name(tmp_path):
    weights = random_weights(ROSINALITY)
    checkpoint_writers.write_tensorflow(tmp_path / "a.pkl", ROSINALITY, weights)
    content = stylegan2.read_content(tmp_path / "a.pkl")
    content[2].state["variables"].append(("G_synthesis/4x4/Conv/StyleMod/weight", np.zeros(3)))
    with pytest.raises(ConversionError, match="a StyleGAN1 network, not StyleGAN2"):
        stylegan2.find_in_content("a.pkl", content, which="g_ema", like=None)
    content[2].state["variables"][-1] = ("ToRGB_lod0/weight", np.zeros(3))
    with pytest.raises(ConversionError, match="a Progressive GAN network"):
        stylegan2.find_in_content("a.pkl", content, which="g_ema", like=None)
