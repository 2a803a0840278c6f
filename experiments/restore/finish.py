"""The end of a photograph: the best start of every face is kept, and the faces are pasted back into the whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.restore import paste_back, uncertainty_map
from experiments.restore.photograph import Photograph, has_face_folders
from experiments.runs import folder as run_folders


def finish(photograph: Photograph, resolution: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Does what is left once all faces are inverted.

    Args:
      photograph: every run of it is finished.
      resolution: of the generator.
      say: called with a line for the user.
    Returns:
      The metrics of its face or faces, for the record.
    """
    job = photograph.job
    for face in photograph.faces:
        if face.runs[0].path != face.folder:
            distances = {run.path.name: _distance(run.path) for run in face.runs}
            facts: dict[str, Any] = {"restarts": distances}
            if job.uncertainty is not None:
                mask = face.crop.mask if job.damage.tasks == {"inpaint"} else None
                facts = {"uncertainty": uncertainty_map.write(face.folder, distances, mask=mask, say=say)}
            _keep_one(face.folder, distances, job.keep, **facts)
    if job.paste_format is not None:
        job.folder.mkdir(parents=True, exist_ok=True)
        restored = [(face.crop, face.folder) for face in photograph.faces]
        paste_back.write(job, restored, resolution, say=say)
    results = {face.folder.name: run_folders.result(face.folder) for face in photograph.faces}
    return {"faces": results} if has_face_folders(job) else {"result": results.get(job.folder.name)}


def _keep_one(folder: Path, distances: dict[str, float], keep: str | None, **facts: Any) -> None:
    """Copies the run in the folder `keep`, or else the nearest to the observation, into the folder around them all.

    Its config.json, written last, holds the facts, too.
    """
    best = folder / (min(distances, key=distances.__getitem__) if keep is None else keep)
    shutil.copytree(best, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("config.json", "latents"))
    shutil.rmtree(folder / "latents", ignore_errors=True)
    shutil.copytree(best / "latents", folder / "latents")
    run_folders.copy_record(best, folder, kept=best.name, **facts)


def _distance(run: Path) -> float:
    """LPIPS between the observation and the degraded reconstruction: every restoration keeps to the observation."""
    return run_folders.result(run)["reconstruction"]["against_observed"]["lpips"]
