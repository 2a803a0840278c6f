"""StyleGAN2 inversion and image restoration in JAX."""

from jaxgan.checkpoints import load_generator, load_lpips
from jaxgan.degradations import Compose, GaussianBlur, Grayscale, Identity, Mask
from jaxgan.errors import CheckpointError
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig
from jaxgan.inversion import InversionResult, invert, invert_batch
from jaxgan.inversion_config import InversionConfig
from jaxgan.inversion_files import load_inversion, save_inversion
from jaxgan.lpips import LPIPS
from jaxgan.methods import Method
from jaxgan.restoration import has_inverse, restore
from jaxgan.spectra import Spectrum, measure_spectrum
from jaxgan.tasks import default_degradation
from jaxgan.tuning import Pivot, TuningConfig, TuningResult, tune, tune_batch
from jaxgan.tuning_files import load_tuning, save_tuned, save_tuning

__all__ = [
    "LPIPS",
    "CheckpointError",
    "Compose",
    "GaussianBlur",
    "Generator",
    "GeneratorConfig",
    "Grayscale",
    "Identity",
    "InversionConfig",
    "InversionResult",
    "Mask",
    "Method",
    "Pivot",
    "Spectrum",
    "TuningConfig",
    "TuningResult",
    "default_degradation",
    "has_inverse",
    "invert",
    "invert_batch",
    "load_generator",
    "load_inversion",
    "load_lpips",
    "load_tuning",
    "measure_spectrum",
    "restore",
    "save_inversion",
    "save_tuned",
    "save_tuning",
    "tune",
    "tune_batch",
]
