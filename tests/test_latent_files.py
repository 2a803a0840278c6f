"""Files of latents that an inversion begins with: those of this project and of others."""

import numpy as np
import pytest

from experiments.restore import latent_files
from jaxgan import GeneratorConfig, InversionConfig
from jaxgan.errors import UserError

NETWORK = GeneratorConfig(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8)  # 6 rows, 5 noise maps
PLUS, SINGLE = InversionConfig(latent_space="w_plus"), InversionConfig(latent_space="w")
WS = np.random.default_rng(0).normal(size=(3, 6, 8)).astype(np.float32)
NOISE = [np.full(shape, index, np.float32) for index, shape in enumerate(NETWORK.noise_shapes)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("latents")
    np.savez(folder / "latents.npz", ws=WS[0], w=WS[:1], **{f"noise_{i}": map_ for i, map_ in enumerate(NOISE)})
    np.savez(folder / "projected_w.npz", w=WS[:1])
    np.savez(folder / "other.npz", pixels=WS)
    np.savez(folder / "nan.npz", w=np.full((1, 6, 8), np.nan, np.float32))
    np.savez(folder / "noise.npz", w=WS[:1], noise_0=np.zeros((3, 3), np.float32))
    torch.save(torch.tensor(WS), folder / "latents.pt")
    maps = [torch.tensor(map_)[None, None] for map_ in NOISE]
    pictures = {
        f"{i}.png": {"img": torch.zeros(3, 4, 4), "latent": torch.tensor(WS[i, 0]), "noise": maps} for i in (0, 1)
    }
    torch.save(pictures, folder / "projected.pt")
    torch.save({"a.png": pictures["0.png"]}, folder / "one.pt")
    (folder / "damaged.npz").write_bytes(b"PK\x03\x04")
    return folder


@pytest.mark.parametrize(
    ("name", "expected", "has_noise"),
    [
        ("latents.npz", WS[0], True),
        ("projected_w.npz", WS[0], False),
        ("latents.pt:2", WS[2], False),
        ("one.pt", WS[0, 0], True),
        ("projected.pt:1", WS[1, 0], True),
    ],
)
def test_every_kind_is_read(folder, name, expected, has_noise):
    w, noise = latent_files.read(str(folder / name), NETWORK, PLUS)
    np.testing.assert_array_equal(w, expected)
    assert len(noise) == (5 if has_noise else 0)
    for found, written in zip(noise, NOISE, strict=False):
        np.testing.assert_array_equal(found, written)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("latents.pt", r"shape \[3, 6, 8\]; this generator takes \[6, 8\] or \[8\]. Of several, .*latents.pt:0 takes"),
        ("latents.pt:3", "holds the latents of 3 pictures; .*:0 takes the first"),
        ("projected.pt", "holds the latents of 2 pictures"),
        ("other.npz", "holds no latents; expected latents.npz of a run"),
        ("nan.npz", "not finite"),
        ("noise.npz", r"noise maps of shapes \(3, 3\); they are of another generator"),
        ("damaged.npz", "is no .npz file of arrays"),
        ("absent.npz", "no such file of latents"),
    ],
)
def test_other_files_are_refused(folder, name, said):
    with pytest.raises(UserError, match=said):
        latent_files.read(str(folder / name), NETWORK, PLUS)


def test_a_latent_per_layer_does_not_fit_into_w(folder):
    with pytest.raises(UserError, match="a latent for each layer; the space W, where this begins"):
        latent_files.read(str(folder / "latents.npz"), NETWORK, SINGLE)
    w, _ = latent_files.read(str(folder / "one.pt"), NETWORK, SINGLE)
    np.testing.assert_array_equal(w, WS[0, 0])
