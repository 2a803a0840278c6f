"""Spectra against cases whose numbers are known by hand, and their files."""

import json

import numpy as np
import pytest
from scipy import fft

from jaxgan import spectra, stored_spectra
from jaxgan.errors import UserError
from jaxgan.spectra import Spectrum
from jaxgan.stored_spectra import Family, Library, Source


def drawn(seed: int, size: int, exponent: float, number: int = 12) -> np.ndarray:
    """Pictures in [-1, 1] whose levels have the variance `.05 k^exponent` per coefficient and pixel."""
    k = np.maximum(np.hypot(*np.mgrid[:size, :size]), 1)[None, :, :, None]
    noise = np.random.default_rng(seed).standard_normal((number, size, size, 3))
    return 2 * fft.idctn(np.sqrt(0.05 * k**exponent) * size * noise, axes=(1, 2), norm="ortho")


def test_bands_are_half_octaves():
    band = spectra.bands((8, 8))
    # frequencies 0 | 1 | sqrt 2 | 2, sqrt 5, sqrt 8 -> half octaves from 1, sqrt 2, 2, sqrt 8
    assert [band[0, 0], band[0, 1], band[1, 0], band[1, 1], band[0, 2], band[1, 2], band[2, 2]] == [0, 1, 1, 2, 3, 3, 4]
    assert spectra.bands((8, 16))[1, 0] == 3  # half a cycle per height is one per width


def test_moments_of_two_coefficients_by_hand():
    """The truth has the mean 0.1 in red and one wave; the reconstruction has half of the wave."""
    wave = np.zeros((4, 4))
    wave[1, 1] = 1
    wave = fft.idctn(wave, norm="ortho")
    truth, reconstruction = np.zeros((2, 1, 4, 4, 3))
    truth[..., 0] = 2 * (0.1 + 0.4 * wave)
    reconstruction[..., 0] = 2 * 0.2 * wave
    measured = spectra.measure_spectrum(truth, reconstruction, colours=np.eye(3))
    # An orthonormal DCT of 4x4 gives 4 times the mean, squared over 16 pixels: the squared mean. Band 2 has (1, 1).
    expected = np.zeros((3, 5, 3))
    expected[0, 0, 0] = 0.1**2
    expected[:, 2, 0] = 0.4**2 / 16, 0.4 * 0.2 / 16, 0.2**2 / 16
    np.testing.assert_allclose(measured[1:], expected, atol=1e-15)
    for fidelity in (0.0, 0.7):  # of the mean, of which the reconstruction has nothing
        variance = spectra.gain_and_variance(measured, (8, 8), fidelity)[1]
        np.testing.assert_allclose(variance[0, 0], [0.1**2 * 64, 64e-12, 64e-12])


def test_colours_decorrelate_the_error():
    generator = np.random.default_rng(0)
    mixing = np.array([[1, 0.8, 0.7], [0, 0.3, 0.1], [0, 0, 0.2]])
    errors = 0.2 * generator.standard_normal((3, 16, 16, 3)) @ mixing
    colours = spectra.error_colours(np.clip(errors, -1, 1), 0 * errors)
    covariance = np.cov((np.clip(errors, -1, 1).reshape(-1, 3) @ colours).T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-12)
    np.testing.assert_allclose(colours.T @ colours, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("size", [16, 32, 128])
def test_a_power_law_is_found_and_continued_at_other_sizes(size):
    truths = drawn(0, 32, -3.0)
    measured = spectra.measure_spectrum(0.05 * truths, np.zeros_like(truths), colours=np.eye(3))
    gain, variance = spectra.gain_and_variance(measured, (size, size), 0.0)
    assert (gain == 1).all()
    k = np.hypot(*np.mgrid[:size, :size])
    inside = k > 3  # lower ones have few coefficients
    expected = 0.05**2 * 0.05 * np.maximum(k, 1) ** -3.0 * size**2
    error = np.abs(np.log2(variance / expected[..., None]))[inside]
    assert error.mean() < 0.3 and error.max() < 0.8  # largest seen: 0.11 and 0.36


def test_the_regression_and_what_it_leaves():
    """A reconstruction with half of the truth and as much of its own: a is 1 - phi / 2, and so on by hand."""
    shared, own, more = (drawn(seed, 16, -2.0, 400) * 0.05 for seed in range(3))
    measured = spectra.measure_spectrum(shared + own, shared + more, colours=np.eye(3))
    for fidelity, left in ((0.0, 2.0), (0.5, 1.625), (1.0, 1.5)):
        # truth - a x has the variance (1 - a)^2 + 1 + a^2 of the unit that is shared, with a = 1, .75, .5
        gain, variance = spectra.gain_and_variance(measured, (16, 16), fidelity)
        unit = spectra.gain_and_variance(spectra.measure_spectrum(shared, 0 * shared, colours=np.eye(3)), (16, 16), 0.0)
        np.testing.assert_allclose(gain, 1 - fidelity / 2, atol=0.05)
        np.testing.assert_allclose((variance / unit[1])[1:, 1:], left, rtol=0.2)  # largest seen: 0.13
    perfect = spectra.measure_spectrum(shared, shared, colours=np.eye(3))
    left = spectra.gain_and_variance(perfect, (16, 16), 0.0)[1]
    np.testing.assert_allclose(left, spectra.LEAST * unit[1], rtol=0.02)  # and 1e-12
    strange = measured._replace(cross=3 * measured.cross)  # 1.5 of the reconstruction would be nearest
    assert spectra.gain_and_variance(strange, (16, 16), 1.0)[0].max() == 1
    alone = spectra.gain_and_variance(spectra.without_generator(measured), (16, 16), 0.0)[1]
    np.testing.assert_allclose((alone / unit[1])[1:, 1:], 2.0, rtol=0.2)


def two_spectra() -> tuple[Spectrum, Spectrum]:
    one = Spectrum(np.eye(3), *np.random.default_rng(0).uniform(1, 2, (3, 5, 3)))
    return one, Spectrum(np.eye(3), *(3 * moment for moment in one[1:]))


def test_strengths_are_interpolated_in_their_logarithm():
    family = Family((0.01, 0.04), two_spectra())
    low, high = family.spectra
    for strength, factor in ((0.001, 1), (0.01, 1), (0.02, 2), (0.04, 3), (1.0, 3)):  # 0.02 is half way
        np.testing.assert_allclose(family.at(strength).truth, factor * low.truth, rtol=1e-12)
    assert Family((1.0,), (low,)).at(0.3).cross.tolist() == low.cross.tolist()
    with pytest.raises(ValueError, match="different colours; measure one with the `colours` of the other"):
        spectra.interpolate(low, high._replace(colours=np.eye(3)[::-1]), 0.5)


def test_a_spectrum_in_other_colours():
    spectrum = two_spectra()[0]
    turned = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1.0]])
    other = spectra.in_colours(spectrum, turned)
    # By hand: 0.6 of the first and 0.8 of the second colour, squared.
    np.testing.assert_allclose(other.truth[:, 0], 0.36 * spectrum.truth[:, 0] + 0.64 * spectrum.truth[:, 1])
    np.testing.assert_allclose(other.cross[:, 2], spectrum.cross[:, 2])
    np.testing.assert_array_equal(other.colours, turned)


def test_a_family_shares_its_colours():
    truths = drawn(0, 16, -2.0) * 0.2
    family = stored_spectra.measure_family({2.0: (truths, truths * 0.5), 1.0: (truths, truths * 0.9)})
    assert family.strengths == (1.0, 2.0)
    np.testing.assert_array_equal(family.spectra[0].colours, family.spectra[1].colours)
    np.testing.assert_allclose(family.spectra[0].cross, 0.9 * family.spectra[0].truth)


def test_what_is_missing_is_taken_from_the_embedded_network():
    low, high = two_spectra()
    families = {
        Source("ours", "deblur", "jaxgan"): Family((1.0,), (low,)),
        Source("theirs", "deblur", "jaxgan"): Family((1.0,), (high,)),
    }
    library = Library(("ours", "jaxgan"), families)
    assert library.find("deblur").spectra[0] is low
    assert library.find("deblur", network="theirs").spectra[0] is high
    assert library.find("deblur", network="theirs", method="projector").spectra[0] is low
    assert library.find("deblur", network="another").spectra[0] is low
    assert library.find("inpaint") is None


def test_the_package_brings_the_embedded_networks_spectra():
    library = stored_spectra.load()
    assert len(library.embedded[0]) == 64
    assert library.find("inpaint", network="another") is library.find("inpaint")
    strengths = library.find("deblur").strengths
    assert strengths == tuple(sorted(strengths)) and strengths[0] > 0 and strengths[-1] < 0.1
    for task in ("inpaint", "deblur"):
        for spectrum in library.find(task).spectra:
            variance = spectra.gain_and_variance(spectrum, (128, 128), 0.0)[1] / 128**2
            # Levels are within a half, and a reconstruction is nearer to the truth than one of opposite levels.
            assert variance.min() > 0 and variance.sum() / 3 < 0.25
            assert variance[1:8, 1:8].mean() > 100 * variance[64:, 64:].mean()


def test_files(tmp_path):
    low, high = two_spectra()
    source = Source("digest", "deblur", "jaxgan")
    library = Library(("digest", "jaxgan"), {source: Family((0.1, 0.2), (low, high))})
    stored_spectra.save(tmp_path / "spectra.json", library)
    again = stored_spectra.load(tmp_path / "spectra.json")
    assert again.embedded == library.embedded and again.families.keys() == {source}
    assert again.families[source].strengths == (0.1, 0.2)
    for stored, written in zip(again.families[source].spectra, (low, high), strict=True):
        np.testing.assert_array_equal(stored.colours, written.colours)
        for a, b in zip(stored[1:], written[1:], strict=True):
            np.testing.assert_allclose(a, b, rtol=5e-5)
    json.loads((tmp_path / "spectra.json").read_text())
    (tmp_path / "other.json").write_text('{"format": "else"}')
    for name, reason in (("other", "its format is 'else'"), ("none", "No such file")):
        with pytest.raises(UserError, match=f"{name}.json: no file of spectra .*{reason}"):
            stored_spectra.load(tmp_path / f"{name}.json")


@pytest.mark.usefixtures("unchecked_shapes")
def test_images_that_do_not_pair_are_told():
    with pytest.raises(ValueError, match=r"truths have shape \(1, 4, 5, 3\).*expected square images"):
        spectra.measure_spectrum(np.zeros((1, 4, 5, 3)), np.zeros((1, 4, 5, 3)))
