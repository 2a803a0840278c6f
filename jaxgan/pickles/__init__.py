"""Pickles read without running anything in them: `load` with a list of what a file may name.

Other folders import from here, not from the files inside.
"""

from jaxgan.pickles.opcode_checks import MAX_OPCODES, UnsafePickleError
from jaxgan.pickles.safe_pickle import MAX_RANK, NUMPY_GLOBALS, Globals, brief, load

__all__ = ["MAX_OPCODES", "MAX_RANK", "NUMPY_GLOBALS", "Globals", "UnsafePickleError", "brief", "load"]
