"""A look at a pickle's opcodes before any is carried out: refuses what makes Python's unpickler run out of bounds."""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from typing import Any

from jaxgan.errors import UserError

MAX_OPCODES = 2_000_000
"""Each step may allocate some hundred bytes, whatever the file's size; a 1024x1024 snapshot takes 40,000."""
MAX_TUPLES = 20_000
"""Nested tuples as a dict key overflow Python's C stack: seen from 300,000 on; the largest reference file has 1,000."""
MAX_KEYS = 10_000_000
"""Parts of all tuples that are put into dicts and sets: a key is hashed part by part, shared ones again each time, so
that 60 steps could ask for 2**60 parts. A network's keys are text."""

_MARK = -1
_READS = ("GET", "BINGET", "LONG_BINGET")
_WRITES = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_KEYED = ("SETITEM", "SETITEMS", "DICT", "ADDITEMS", "FROZENSET")
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_WHOLE = (*_TUPLES, "FROZENSET", "REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID")
"""What may make something that is hashed by its parts."""


class UnsafePickleError(UserError):
    """The pickle names a global that is not on the allow-list, or is no valid pickle."""


def check(opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> None:
    """Follows the stack of a pickle, with the number of parts of each object instead of the object.

    Args:
      opcodes: of `pickletools.genops`.
    Raises:
      UnsafePickleError: it would allocate beyond the file's size, overflow the C stack, or never end.
    """
    stack: list[int] = []
    memo: dict[int, int] = {}
    tuples = hashed = 0
    for index, (opcode, argument, _) in enumerate(opcodes):
        name = opcode.name
        if index > MAX_OPCODES:
            raise UnsafePickleError(f"the pickle has over {MAX_OPCODES} steps; a network needs few. Refused.")
        # The memo is an array: a huge index allocates and clears that many entries.
        if name in ("PUT", "LONG_BINPUT") and argument > index:
            raise UnsafePickleError(f"the pickle has memo index {argument} after {index} steps; damaged.")
        tuples += name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
        if tuples > MAX_TUPLES:
            raise UnsafePickleError(f"the pickle has over {MAX_TUPLES} tuples; it may be nested too deeply. Refused.")
        try:
            if name in _READS:
                stack.append(memo.get(argument, 1))  # the unpickler itself tells a missing one
            elif name in _WRITES:
                memo[len(memo) if argument is None else argument] = stack[-1]
            elif name == "DUP":
                stack.append(stack[-1])
            elif name == "MARK":
                stack.append(_MARK)
            else:
                parts, taken = 0, opcode.stack_before
                if pickletools.markobject in taken:
                    taken = taken[: taken.index(pickletools.markobject)]
                    while (weight := stack.pop()) != _MARK:
                        parts += weight
                for _ in taken:
                    parts += stack.pop()
                hashed += parts if name in _KEYED else 0
                stack += [min(1 + parts, 2 * MAX_KEYS) if name in _WHOLE else 1] * len(opcode.stack_after)
        except IndexError:
            raise UnsafePickleError("truncated or damaged, not a readable pickle (its stack runs empty).") from None
        if hashed > MAX_KEYS:
            raise UnsafePickleError(f"the keys of the pickle have over {MAX_KEYS} parts; refused.")
