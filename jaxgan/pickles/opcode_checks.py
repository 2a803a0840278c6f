"""Checks a pickle's opcodes before any is carried out, and refuses those that make Python's unpickler run wild."""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from typing import Any

from jaxgan.errors import UserError

MAX_OPCODES = 2_000_000
"""The limit of steps. Each step may allocate some hundred bytes, and the largest snapshots of networks need few."""
MAX_TUPLES = 20_000
"""The limit of tuples. Deeply nested tuples as the key of a dict overflow Python's C stack; networks have few."""
MAX_KEYS = 10_000_000
"""The limit of parts of all keys. A key is hashed part by part, and a shared part again each time, so that 60 steps
could ask for 2**60 parts. The keys of a network are text, which is one part."""

_MARK = -1
_READS = ("GET", "BINGET", "LONG_BINGET")
_WRITES = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_KEYED = ("SETITEM", "SETITEMS", "DICT", "ADDITEMS", "FROZENSET")
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_WHOLE = (*_TUPLES, "FROZENSET", "REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID")
"""Opcodes that may make an object that is hashed by its parts."""


class UnsafePickleError(UserError):
    """The pickle names a global that is not on the allow-list, or is no valid pickle."""


def check(opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> None:
    """Follows the stack of a pickle; each object on it is replaced by the number of its parts.

    Args:
      opcodes: the steps of a pickle, as `pickletools.genops` yields them.
    Raises:
      UnsafePickleError: the pickle would allocate beyond the file's size, overflow the C stack, or never end.
    """
    stack: list[int] = []
    memo: dict[int, int] = {}
    tuples = hashed = 0
    for index, (opcode, argument, _) in enumerate(opcodes):
        name = opcode.name
        if index > MAX_OPCODES:
            raise UnsafePickleError(f"the pickle has over {MAX_OPCODES} steps; a network needs few. Refused.")
        # The memo is an array, so a huge index would allocate and clear that many entries.
        if name in ("PUT", "LONG_BINPUT") and argument > index:
            raise UnsafePickleError(f"the pickle has memo index {argument} after {index} steps; damaged.")
        tuples += name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
        if tuples > MAX_TUPLES:
            raise UnsafePickleError(f"the pickle has over {MAX_TUPLES} tuples; it may be nested too deeply. Refused.")
        try:
            if name in _READS:
                stack.append(memo.get(argument, 1))  # the unpickler itself reports a missing index
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
