"""What a case is: a Triton kernel, its arguments, and what the outputs must be."""

from dataclasses import dataclass, field
from typing import Any, Callable, Optional

import numpy as np


@dataclass
class Tolerance:
    """How far an output may be from NumPy's: `|got - want| <= atol + rtol * |want|`."""

    rtol: float
    atol: float
    why: str


@dataclass
class Exact:
    """The output's bytes are NumPy's."""

    why: str


@dataclass
class Buffer:
    """Device memory behind one pointer argument or descriptor.

    `kind` is Triton's name of the element type. `data` is the content before the launch (None:
    never written, so that reading it is a fault), `expected` the content after it (None: not
    compared). Both are arrays whose bytes are the memory's.
    """

    kind: str
    data: Optional[np.ndarray] = None
    expected: Optional[np.ndarray] = None
    judged: Any = None

    @property
    def bytes(self):
        return (self.expected if self.data is None else self.data).nbytes


@dataclass
class Scalar:
    """A number passed by value. `divisible` promises Triton a multiple of 16."""

    kind: str
    value: float
    divisible: bool = False


@dataclass
class Const:
    """A `tl.constexpr`: compiled in, not passed."""

    value: Any


@dataclass
class Descriptor:
    """A host-side tensor descriptor over a buffer: row-major, `shape` and `block` in elements.

    Gluon wants to know the layout in shared memory, which Triton chooses by itself.
    """

    buffer: str
    shape: list
    block: list
    padding: str = "zero"
    layout: Any = None


@dataclass
class Launch:
    """One kernel and how it is launched.

    `args` is in the kernel's order. A `Buffer` is listed under its argument's name; a name of a
    buffer, as a string, passes that buffer again.
    """

    kernel: Any
    grid: tuple
    args: dict
    num_warps: int = 4
    num_stages: int = 3
    num_ctas: int = 1
    options: dict = field(default_factory=dict)


@dataclass
class Case:
    """A program for one launch file: its launches in order, and buffers that only descriptors name."""

    launches: list
    buffers: dict = field(default_factory=dict)


@dataclass
class Entry:
    """A named case, the targets it is compiled for, and the function that makes it."""

    name: str
    targets: tuple
    make: Callable


CASES = []


def case(*targets):
    """Adds the decorated function's case, under the function's name, for these compute capabilities."""

    def add(make):
        CASES.append(Entry(make.__name__, targets, make))
        return make

    return add


def integers(seed, low, high, shape, dtype):
    """Small integers drawn from a seed: products and sums of them are exact in any order."""
    return np.random.default_rng(seed).integers(low, high, size=shape, endpoint=True).astype(dtype)


def normals(seed, shape, dtype=np.float32):
    """Standard normal numbers drawn from a seed."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
