"""The bar of the steps that are done."""

from types import SimpleNamespace

import numpy as np

from experiments.restore.progress import Progress
from jaxgan.inversion_config import InversionConfig
from jaxgan.methods import Method
from jaxgan.optimization import LossTerms


class Face:
    """One of 512x512 pixels, whose loss compares 256x256."""

    observed = np.zeros((512, 512, 3))
    settings = Method.of(InversionConfig(feature_size=256))
    tuning_progress = None

    def __init__(self, loss: float, distance: float):
        self.steps = 0
        terms = (np.array([9.0, term]) for term in (loss, distance, 0, 0))
        self.progress = SimpleNamespace(losses=LossTerms(*terms))

    @property
    def total_steps(self) -> int:
        return self.steps


def test_the_label_names_the_size_that_lpips_is_measured_at(capsys):
    """Of the last losses of all faces it shows the mean."""
    faces = [Face(0.5, 0.25), Face(1.5, 0.75)]
    with Progress.shown("inpaint", total=20) as progress:
        for face in faces:
            progress.begin(face)
            face.steps = 4
        progress.advance(faces)
    last = capsys.readouterr().err.rstrip("\n").split("\r")[-1]
    assert "8/20" in last and "loss=1.0000, LPIPS at 256 px=0.5000" in last
