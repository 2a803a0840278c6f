"""How sure a restoration is: starts, samples and their spread, and how that is judged where the truth is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

import jaxgan
from jaxgan import InversionConfig, Mask, Method, latents, masks, uncertainty
from jaxgan.inversion_image import InversionImage


def draws(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# Starts.


@pytest.fixture(scope="module")
def w_avg(tiny) -> jax.Array:
    return latents.w_statistics(tiny, samples=100).w_avg


def test_a_start_depends_on_its_key_and_number_alone(tiny, w_avg):
    few, many = (uncertainty.spread_starts(tiny, w_avg, jax.random.key(3), count=count) for count in (2, 5))
    np.testing.assert_array_equal(few, many[:2])
    others = uncertainty.spread_starts(tiny, w_avg, jax.random.key(4), count=2)
    assert len(np.unique(np.concatenate([many, others[1:]]), axis=0)) == 6


def test_starts_lie_half_of_the_way_to_random_latents(tiny, w_avg):
    """The first is the guess itself; z is drawn here as the docstrings say."""
    key = jax.random.key(0)
    offsets = uncertainty.spread_starts(tiny, w_avg, key, count=3)
    keys = uncertainty.start_keys(key, count=3)
    assert not offsets[0].any() and keys[0] == key and len({int(jax.random.bits(each)) for each in keys}) == 3
    z = jax.random.normal(jax.random.fold_in(keys[2], uncertainty.OF_STARTS), (1, tiny.config.z_dim))
    w = tiny.mapping(z[0])[0]
    np.testing.assert_allclose(offsets[2], 0.5 * (w - w_avg), atol=1e-6)  # largest seen: 6e-8


@pytest.mark.parametrize("config", [InversionConfig.for_task("inpaint"), Method.robust(6)])
def test_an_inversion_begins_at_its_guess_plus_the_offset(tiny, narrow, config):
    """The guess of the robust method, whose first phase is in W, is the mean latent."""
    degradation, method = Mask(jnp.asarray(masks.box(16, 0.3, 0.3, 0.7, 0.7))), Method.of(config)
    prior = jaxgan.make_prior(tiny, method.first)
    offset = jnp.linspace(-1, 1, tiny.config.w_dim)
    face = jnp.zeros((16, 16, 3))
    begun = []
    for each in (None, offset):
        image = InversionImage(face, degradation, method, jax.random.key(1), prior, offset=each)
        begun.append(image.problem(tiny, narrow)[2].latents.w)
    np.testing.assert_array_equal(begun[1], begun[0] + jnp.broadcast_to(offset, begun[0].shape))
    if config.steps == 6:
        np.testing.assert_array_equal(begun[0], prior.statistics.w_avg)


# Samples and their spread.


def test_samples_are_those_within_a_tenth_of_the_best_or_the_best_eight():
    losses = [0.5, *np.linspace(0.3, 0.32, 9), 0.3299, 0.3301]
    assert uncertainty.choose_samples(losses) == list(range(1, 11)) and uncertainty.count_near(losses) == 10
    losses = [0.9, 0.2, 0.8, 0.21, 0.7, 0.6, 0.5, 0.4, 0.3, 1.0]
    assert uncertainty.choose_samples(losses) == [1, 3, 8, 7, 6, 5, 4, 2] and uncertainty.count_near(losses) == 2
    assert uncertainty.choose_samples([0.3, 0.1, 0.2]) == [1, 2, 0]


def test_the_spread_is_that_of_slow_loops():
    samples = draws(5, 2, 3, 3)
    found = uncertainty.measure_spread(samples)
    for y, x in np.ndindex(2, 3):
        variances = []
        for channel in range(3):
            values = sorted(samples[:, y, x, channel])
            mean = sum(values) / 5
            variances.append(sum((value - mean) ** 2 for value in values) / 4)
            np.testing.assert_allclose(found.mean[y, x, channel], mean)
            # Of five numbers, the quantile of .1 lies .4 of the way from the first to the second.
            np.testing.assert_allclose(found.low[y, x, channel], 0.6 * values[0] + 0.4 * values[1])
            np.testing.assert_allclose(found.high[y, x, channel], 0.6 * values[4] + 0.4 * values[3])
        np.testing.assert_allclose(found.spread[y, x], (sum(variances) / 3) ** 0.5)


def test_the_spread_of_restorations_is_zero_where_observed_and_grows_into_a_hole():
    """Each restoration continues from the same rim, so that there is little room beside it, and much in the middle."""
    mask = masks.box(32, 0.25, 0.25, 0.75, 0.75)
    observed = np.clip(draws(32, 32, 3), -1, 1).astype(np.float32)
    reconstructions = [0.4 * ndimage.zoom(draws(8, 8, 3, seed=seed), (4, 4, 1), order=3) for seed in range(6)]
    samples = np.stack([jaxgan.restore(observed, Mask(mask), np.clip(each, -1, 1)) for each in reconstructions])
    spread = uncertainty.measure_spread(samples).spread
    hole = mask < 0.5
    assert not spread[~hole].any()
    depth = ndimage.distance_transform_cdt(hole, "chessboard")  # 1 beside the rim, 8 in the middle
    by_depth = [spread[depth == d].mean() for d in (1, 3, 6)]
    assert 0 < 2 * by_depth[0] < by_depth[1] < by_depth[2]  # seen: .04, .21, .34


def test_the_most_different_samples_are_the_farthest_from_those_before():
    """On a line at 0, 1, 10 and 6: 10 is farthest from 0, 6 has 4 to the next of both, 1 has 1."""
    samples = np.broadcast_to(np.array([0, 1, 10, 6.0])[:, None, None, None], (4, 2, 2, 3))
    assert uncertainty.most_different(samples, count=3) == [0, 2, 3]
    assert uncertainty.most_different(samples, count=9) == [0, 2, 3, 1]


# Judged by the truth.


@pytest.mark.parametrize("kind", ["all different", "ties"])
def test_rank_correlation_is_spearmans(kind):
    a, b = draws(2, 50)
    b = a + b
    if kind == "ties":
        a, b = np.rint(2 * a), np.rint(b)
    np.testing.assert_allclose(uncertainty.rank_correlation(a, b), stats.spearmanr(a, b).statistic)
    assert np.isnan(uncertainty.rank_correlation(a, np.ones(50)))


def test_coverage_counts_what_lies_between():
    truth, low = draws(2, 40)
    high = low + 1
    expected = sum(low[i] <= truth[i] <= high[i] for i in range(40)) / 40
    assert 0 < expected < 1 and uncertainty.coverage(truth, low, high) == expected


def test_the_calibration_factor_is_the_smallest_that_covers_four_fifths():
    """Samples that are three times too near to each other."""
    truth, samples = draws(20, 20, 3), draws(16, 20, 20, 3, seed=1) / 3
    found = uncertainty.measure_spread(samples)
    factor = uncertainty.calibration_factor(truth, found.mean, found.low, found.high)
    covered = [uncertainty.coverage(truth, *uncertainty.stretch(found, f * factor)) for f in (0.999, 1.0001)]
    assert covered[0] < 0.8 <= covered[1] < 0.802  # one more of 1,200 numbers
    assert 2.5 < factor < 4
    agreed = np.zeros((2, 2, 3))
    assert uncertainty.calibration_factor(agreed, agreed, agreed, agreed) == 0
    assert uncertainty.calibration_factor(agreed + 1, agreed, agreed, agreed) == np.inf
