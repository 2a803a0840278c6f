"""README keeps within its limits, and its snippet runs as pasted."""

import re
from pathlib import Path

import numpy as np

import jaxgan

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_it_is_short():
    assert len(README.split()) <= 1200
    assert len(re.findall(r"^!\[", README, re.MULTILINE)) <= 3  # figures
    tables = re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE)
    assert tables and all(table.count("\n") <= 2 + 10 for table in tables)


def test_files_that_it_links_to_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 5
    root = Path(__file__).parent.parent
    assert [link for link in links if not (root / link).exists()] == []


def test_the_snippet_runs_as_pasted(tiny, narrow, monkeypatch):
    """On a small network, in a few steps."""
    snippet = re.search(r"<!-- snippet -->\n```python\n(.*?)```", README, re.DOTALL).group(1)
    config = jaxgan.InversionConfig(steps=2, w_samples=16, latent_space="w_plus")
    monkeypatch.setattr(jaxgan, "load_generator", lambda model: tiny)
    monkeypatch.setattr(jaxgan, "load_lpips", lambda: narrow)
    monkeypatch.setattr(jaxgan.InversionConfig, "for_task", lambda task: config)
    names: dict = {}
    exec(snippet, names)
    assert names["restoration"].shape == (16, 16, 3)
    luminance = np.clip(np.asarray(names["observed"]), -1, 1).mean(-1)  # of an image that leaves [-1, 1]
    np.testing.assert_allclose(names["restoration"].mean(-1), luminance, atol=1 / 255)
