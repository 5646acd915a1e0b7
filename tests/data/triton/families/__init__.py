"""The kernels, a file a family; importing this package registers every case."""

from . import attention, gemm, pairs, pointwise, quantise, rows, scaled, scheduling  # noqa: F401
