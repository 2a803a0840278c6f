"""Checkpoints as people have them: files without some parts, of other projects, in other precisions and wrappers."""

import dataclasses

import numpy as np
import pytest
from parity import CASES

from convert import stylegan2
from convert.found import Found
from convert.rules import ConversionError


def found(file: str, **options) -> Found:
    return stylegan2.find(CASES / file, **options)


def assert_same(found: Found, control: Found, *, but: tuple[str, ...] = ()) -> None:
    """All leaves are equal, those whose path ends in `but` excepted, which differ."""
    ours, theirs = found.weights(), control.weights()
    assert ours.keys() == theirs.keys() and found.config == control.config
    differing = {path for path in ours if not np.array_equal(ours[path], theirs[path])}
    assert differing == {path for path in ours if path.endswith(but)} if but else not differing


def test_without_noise_maps_they_are_normal_and_always_the_same():
    file = found("rosinality_control_without_noise_maps.pt")
    assert_same(file, found("control_rosinality_complete.pt"), but=("noise_const",))
    assert any("no noise maps: they are drawn from N(0, 1)" in note for note in file.notes)
    maps = {path: array for path, array in file.weights().items() if path.endswith("noise_const")}
    numbers = np.concatenate([array.reshape(-1) for array in maps.values()])  # 2,704 of them
    assert len(maps) == 7 and abs(numbers.mean()) < 0.1 and abs(numbers.std() - 1) < 0.06  # 5 and 4 standard errors
    assert_same(file, found("rosinality_control_without_noise_maps.pt"))


def test_the_published_kind_of_rosinality_file_has_neither_maps_nor_mean():
    file = found("rosinality_without_noise_maps.pt")
    assert len(file.notes) == 2 and len(file.made) == 8 and file.weights().keys() >= set(file.made)


def test_without_filter_kernels_they_are_those_of_the_paper():
    file = found("rosinality_without_filter_kernels.pt")
    assert file.config.resample_filter == (1, 3, 3, 1)
    assert any("no filter kernels" in note for note in file.notes) and file.weights()


def test_networks_without_a_dict_around_them():
    for file in ("bare_generator.pkl", "pti_tuned_generator.pt"):
        assert found(file).format == "stylegan2-ada-pytorch" and found(file).weights()
        with pytest.raises(ConversionError, match="describes itself; leave --like out"):
            found(file, like=CASES)


def test_a_network_is_the_same_saved_alone_or_by_torch_save():
    """Both files are copies of one network: the tuned one was saved by `torch.save`."""
    assert_same(found("bare_generator.pkl"), found("pti_tuned_generator.pt"))


def test_tensorflow_networks_alone():
    control = found("control_tf_tuple.pkl")
    for file in ("tf_gs_alone.pkl", "tf_none_none_gs.pkl"):
        assert_same(found(file), control)
        with pytest.raises(ConversionError, match="there is no network G; the file holds Gs: leave --which out"):
            found(file, which="g")


def test_a_network_that_grew_is_converted_at_its_full_resolution():
    file = found("tf_config_b_to_d.pkl")
    assert file.config.architecture == "orig" and "configuration B, C or D" in file.notes[0]
    content = stylegan2.read_content(CASES / "tf_config_b_to_d.pkl")
    variables = dict(content[2].state["components"]["synthesis"].state["variables"])
    np.testing.assert_array_equal(file.weights()["synthesis/b16/torgb/kernel"], variables["ToRGB_lod0/weight"])
    variables["lod"] = np.float32(1)
    content[2].state["components"]["synthesis"].state["variables"] = list(variables.items())
    with pytest.raises(ConversionError, match="configuration B, C or D.*has not grown to its full resolution"):
        stylegan2.find_in_content("a.pkl", content, which="g_ema", like=None)


def test_half_precision_is_widened_exactly():
    file = found("half_precision.pkl")
    assert file.notes == ("64 arrays of float16 were widened to float32, exactly",)
    weights = file.weights()
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert all(np.array_equal(array, array.astype(np.float16).astype(np.float32)) for array in weights.values())


def test_what_lies_beside_the_generator_is_ignored_with_a_reason():
    assert found("hyperstyle.pt").notes == (
        "ignored beside the generator: a hypernetwork, which changes the weights for each photograph",
    )
    assert found("projected_gan_progress.pkl").notes == ("ignored as settings or numbers of the training: progress",)


def test_only_the_last_weights():
    with pytest.raises(ConversionError, match="the file holds g: use --which g"):
        found("only_g.pt")
    assert found("only_g.pt", which="g").weights()


def test_a_prefix_of_all_names_is_stripped():
    assert found("ddp_prefix.pt").config == found("control_rosinality_complete.pt").config
    content = stylegan2.read_content(CASES / "control_rosinality_complete.pt")
    for prefix in ("model", "netG.module", "generator"):
        whole = {f"{prefix}.{name}": array for name, array in content["g_ema"].items()}
        whole[f"{prefix}.latent_avg"] = content["latent_avg"]
        assert_same(
            stylegan2.find_in_content("a.pt", whole, which="g_ema", like=None), found("control_rosinality_complete.pt")
        )


def test_networks_of_other_sizes():
    assert found("gray_network.pkl").config.image_channels == 1
    config = found("mapping_layer_features.pkl").config
    assert (config.mapping_features, config.mapping_widths) == (24, (24, 24, 16))
    assert found("network_8x8.pkl").config.resolution == 8
    for file in ("gray_network.pkl", "mapping_layer_features.pkl", "network_8x8.pkl"):
        assert found(file).weights()


def test_a_network_without_a_mean_latent():
    """Against the mapping network of jaxgan: test_convert_formats.py."""
    file = found("no_w_avg.pkl")
    assert file.notes == ("the file has no mapping.w_avg: w_avg is the mean w of 10000 z of RandomState(123)",)
    assert file.weights()["mapping/w_avg"].shape == (16,) and file.made == ("mapping/w_avg",)


def test_networks_that_are_not_square_are_named():
    with pytest.raises(ConversionError, match="the network makes 32x16 images; only square ones are supported"):
        found("not_square_32x16.pkl")


def test_other_projects_choose_between_their_generators():
    """BasicSR's file has one, genforce's two of equal numbers."""
    with pytest.raises(ConversionError, match="holds params_ema: leave --which out"):
        found("basicsr_names.pth", which="g")
    assert_same(found("genforce_names.pth"), found("genforce_names.pth", which="g"))
    assert dataclasses.replace(found("basicsr_names.pth").config, channel_base=1, channel_max=1) == dataclasses.replace(
        found("genforce_names.pth").config, channel_base=1, channel_max=1
    )
