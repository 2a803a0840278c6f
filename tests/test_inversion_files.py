"""An inversion on disk: what was saved goes on to the same bits, and what does not fit is told."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import inversion, optimization
from jaxgan.degradations import Mask
from jaxgan.errors import CheckpointError
from jaxgan.inversion_config import InversionConfig
from jaxgan.inversion_files import load_inversion, save_inversion
from jaxgan.optimization import LossTerms

CONFIG = InversionConfig(steps=7, w_samples=100)


@pytest.fixture(scope="module")
def lpips(narrow):
    return narrow


@pytest.fixture(scope="module")
def reached(tiny):
    """A first state that counts as the third, and losses of three steps."""
    state = optimization.initial_state(tiny, jnp.ones(8), CONFIG, jax.random.key(1))
    losses = LossTerms(*(np.arange(3, dtype=np.float32) + i for i in range(4)))
    return state._replace(step=jnp.int32(3)), losses


def test_a_saved_inversion_goes_on_to_the_same_bits(tiny, lpips, tmp_path):
    folder = tmp_path / "some" / "where"
    observed = jax.random.uniform(jax.random.key(1), (16, 16, 3), minval=-1, maxval=1)
    prior = optimization.make_prior(tiny, CONFIG)
    arguments = (tiny, lpips, observed, Mask(jnp.ones((16, 16)).at[3:6].set(0)), CONFIG, jax.random.key(0))

    def save_first(state, losses):
        if int(state.step) <= 3:
            save_inversion(folder, state, losses)

    whole = inversion.invert(*arguments, prior=prior, chunk_steps=3, on_chunk=save_first)
    loaded = load_inversion(folder, tiny, CONFIG)
    assert int(loaded[0].step) == 3
    chunks = []
    again = inversion.invert(
        *arguments, prior=prior, chunk_steps=4, resume_from=loaded, on_chunk=lambda *reached: chunks.append(reached)
    )
    assert len(chunks) == 1
    jax.tree.map(np.testing.assert_array_equal, again, whole)
    save_inversion(folder, *chunks[0])
    assert os.listdir(folder) == ["7"]
    done = load_inversion(folder, tiny, CONFIG)
    jax.tree.map(np.testing.assert_array_equal, inversion.invert(*arguments, prior=prior, resume_from=done), whole)


def test_nothing_was_saved(tiny, tmp_path):
    assert load_inversion(tmp_path / "nowhere", tiny, CONFIG) is None
    assert not (tmp_path / "nowhere").exists() and load_inversion(tmp_path, tiny, CONFIG) is None


def test_state_and_losses_belong_together(reached, tmp_path):
    state, losses = reached
    with pytest.raises(ValueError, match="the state is that after 4 steps, the losses are those of 3"):
        save_inversion(tmp_path, state._replace(step=jnp.int32(4)), losses)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"latent_space": "w_plus"}, "state.best.w, state.latents.w, state.optimizer.mu.w, state.optimizer.nu.w"),
        ({}, "losses.total"),
    ],
)
def test_what_does_not_fit_is_named(tiny, reached, tmp_path, change, named):
    state, losses = reached
    losses = losses if change else losses._replace(total=losses.total * np.nan)
    save_inversion(tmp_path, state, losses)
    with pytest.raises(CheckpointError, match=f": {named} missing, misshapen or NaN"):
        load_inversion(tmp_path, tiny, dataclasses.replace(CONFIG, **change))
