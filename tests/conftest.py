"""Fixtures and flags of all tests: exact float32 products, no silent broadcasting, shapes checked at run time."""

import gc
import os
from pathlib import Path

import jaxtyping

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # PyTorch's idle threads leave the cores to the other workers
# Without LLVM's optimisations and XLA's newer code of fused loops, programs compile in a sixth of the time. Few tests
# make steps enough to win it back; for the slow ones set XLA_FLAGS yourself, to nothing for example.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
jaxtyping.install_import_hook("jaxgan", "beartype.beartype")

import json  # noqa: E402

import jax  # noqa: E402
import narrow_vgg  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from parity import REFERENCE  # noqa: E402

from jaxgan import batch  # noqa: E402

gc.set_threshold(200_000, 20, 20)  # tracing makes many small objects that live: a tenth of the time went into looking
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory):
    """Tests convert the LPIPS weights once, into a folder of their own, and leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory, worker_id):
    """All processes of a test run share what they compile: the workers, and the programs that tests start.

    $JAXGAN_TEST_PROGRAMS names a folder that keeps it for the next run, too.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = os.environ.get("JAXGAN_TEST_PROGRAMS", (folder if worker_id == "master" else folder.parent) / "compiled")
    settings = {"jax_compilation_cache_dir": str(folder), "jax_persistent_cache_min_compile_time_secs": 0.3}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))
        yield


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Frees compiled programs before they map memory too often: Linux allows a process 65,530 maps.

    Until then the files of tests share them.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        batch.PROGRAMS.clear()
        jax.clear_caches()


@pytest.fixture
def unchecked_shapes():
    """Leaves the shape checks to the library's own errors, which is what users meet."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def lpips():
    import jaxgan

    return jaxgan.load_lpips()


@pytest.fixture(scope="session")
def narrow():
    """A random LPIPS of 8 channels, see `narrow_vgg`."""
    return narrow_vgg.narrow_lpips()


@pytest.fixture(scope="module")
def narrow_lpips(lpips, narrow, tmp_path_factory):
    """Commands in this process compare by `narrow`; `lpips` has been loaded before."""
    from jaxgan import checkpoints

    weights = checkpoints.network_arrays(narrow)
    with narrow_vgg.narrow_vgg() as patch:
        patch.setenv("JAXGAN_CACHE", str(tmp_path_factory.mktemp("narrow")))
        folder = checkpoints.cache_folder() / "lpips-vgg16"
        checkpoints.save_lpips(folder, weights, {"weights_sha256": checkpoints.digest(weights)})
        yield


@pytest.fixture(scope="session")
def demo():
    import jaxgan

    return jaxgan.load_generator("demo")


@pytest.fixture(scope="session")
def tiny_network(tmp_path_factory) -> str:
    """The folder of a random network of 16x16 pixels, which inverts a face in a second."""
    from flax import nnx

    from jaxgan import Generator, GeneratorConfig, checkpoints

    config = GeneratorConfig(16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=16)
    weights = checkpoints.network_arrays(Generator(config, rngs=nnx.Rngs(3)))
    strengths = {name: np.full_like(array, 0.1) for name, array in weights.items() if name.endswith("noise_strength")}
    folder = tmp_path_factory.mktemp("networks") / "tiny"
    checkpoints.save_generator(folder, config, weights | strengths, {"source": "a test"})
    return str(folder)


@pytest.fixture(scope="session")
def tiny(tiny_network):
    """The same random network, loaded."""
    import jaxgan

    return jaxgan.load_generator(tiny_network)


@pytest.fixture(scope="session")
def crops() -> np.ndarray:
    """Pieces of the sample portrait, the second with a face: uint8 `[16, 64, 64, 3]`."""
    from jaxgan.photos import photo_files

    photo = photo_files.read_photo(photo_files.sample_photo_path())
    return photo.reshape(4, 64, 2, 4, 64, 2, 3).mean((2, 5)).swapaxes(1, 2).reshape(16, 64, 64, 3).astype(np.uint8)


@pytest.fixture(scope="session")
def crop(tmp_path_factory) -> Path:
    """The file of a face crop of 16x16 pixels."""
    from jaxgan import images
    from jaxgan.photos import photo_files

    path = tmp_path_factory.mktemp("crop") / "crop.png"
    photo = photo_files.read_photo(photo_files.sample_photo_path())
    images.write_png(path, images.resize(photo[40:240, 120:320], 16))
    return path


@pytest.fixture(scope="session")
def golden():
    """`golden("ada_tiny.expected")`: the arrays of a stored reference file, with its JSON entries decoded."""

    def load(name: str) -> dict:
        with np.load(REFERENCE / f"{name}.npz") as file:
            return {k: json.loads(str(file[k])) if file[k].dtype.kind == "U" else file[k] for k in file.files}

    return load
