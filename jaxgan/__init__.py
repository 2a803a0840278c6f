"""StyleGAN2 inversion and image restoration in JAX."""

from jaxgan import images, latents, masks, metrics, uncertainty
from jaxgan.blind import Estimate, estimate_parameters
from jaxgan.checkpoints import load_generator, load_lpips, save_generator
from jaxgan.degradations import (
    JPEG,
    CompleteObservation,
    Compose,
    Degradation,
    Denoising,
    GaussianBlur,
    Grayscale,
    Identity,
    Mask,
    MotionBlur,
    Pooling,
    check_degradation,
    pytree,
)
from jaxgan.errors import CheckpointError, UserError
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig
from jaxgan.inversion import InversionResult, invert, invert_batch
from jaxgan.inversion_config import InversionConfig
from jaxgan.inversion_files import load_inversion, save_inversion
from jaxgan.lpips import LPIPS
from jaxgan.methods import Method
from jaxgan.optimization import InversionState, LossTerms, Prior, make_prior
from jaxgan.parameters import with_parameters
from jaxgan.restoration import HasInverse, Knowledge, has_inverse, restore
from jaxgan.spectra import Spectrum, measure_spectrum
from jaxgan.tasks import default_degradation
from jaxgan.tuning import Pivot, TuningConfig, TuningResult, tune, tune_batch
from jaxgan.tuning_files import load_tuning, save_tuned, save_tuning

__all__ = [
    "JPEG",
    "LPIPS",
    "CheckpointError",
    "CompleteObservation",
    "Compose",
    "Degradation",
    "Denoising",
    "Estimate",
    "GaussianBlur",
    "Generator",
    "GeneratorConfig",
    "Grayscale",
    "HasInverse",
    "Identity",
    "InversionConfig",
    "InversionResult",
    "InversionState",
    "Knowledge",
    "LossTerms",
    "Mask",
    "Method",
    "MotionBlur",
    "Pivot",
    "Pooling",
    "Prior",
    "Spectrum",
    "TuningConfig",
    "TuningResult",
    "UserError",
    "check_degradation",
    "default_degradation",
    "estimate_parameters",
    "has_inverse",
    "images",
    "invert",
    "invert_batch",
    "latents",
    "load_generator",
    "load_inversion",
    "load_lpips",
    "load_tuning",
    "make_prior",
    "masks",
    "measure_spectrum",
    "metrics",
    "pytree",
    "restore",
    "save_generator",
    "save_inversion",
    "save_tuned",
    "save_tuning",
    "tune",
    "tune_batch",
    "uncertainty",
    "with_parameters",
]
