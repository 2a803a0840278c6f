"""Compiled programs are kept for the next process."""

import jax
import pytest

from experiments import programs


@pytest.fixture
def no_folder(monkeypatch, tmp_path):
    """As in a new process of a user: nothing said where programs are kept."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before[0])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])


def test_programs_are_kept_beside_the_weights_for_this_processor(no_folder):
    programs.keep()
    folder = jax.config.jax_compilation_cache_dir
    assert folder == str(no_folder / "programs" / programs._processor())
    programs.keep()
    assert folder == jax.config.jax_compilation_cache_dir


def test_what_the_user_said_holds(tmp_path, no_folder):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    programs.keep()
    assert str(tmp_path / "mine") == jax.config.jax_compilation_cache_dir
