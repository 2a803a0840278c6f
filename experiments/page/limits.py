"""How much a visitor may bring and ask for."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a visitor may bring and ask for, and for how long it is kept."""

    megabytes: float = 60.0
    """Largest file that may be uploaded."""
    megapixels: float = 100.0
    """Largest photograph, in million pixels; no command takes more than 100."""
    searches: int = 16
    """Most faces times attempts of one repair; all are worked on at once, each takes memory."""
    hours: float = 24.0
    """Uploads and results are deleted so long after they were last changed."""

    def problems(self) -> list[str]:
        """Returns all that is wrong with the limits, a sentence each."""
        named = {"megabytes": self.megabytes, "megapixels": self.megapixels, "hours": self.hours}
        wrong = [
            f"--{name} is {value:g}; expected a positive number." for name, value in named.items() if not value > 0
        ]
        if self.megapixels > 100:
            wrong.append(f"--megapixels is {self.megapixels:g}; expected at most 100.")
        if self.searches < 1:
            wrong.append(f"--searches is {self.searches}; expected 1 or more.")
        return wrong
