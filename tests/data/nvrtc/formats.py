"""Number formats in NumPy, by their definitions."""

import numpy as np


def e4m3_values(codes):
    """The values of E4M3 codes: 4 exponent bits of bias 7, 3 of fraction; 0x7f is NaN."""
    codes = np.asarray(codes, np.int64)
    exponent, fraction = codes >> 3 & 15, codes & 7
    size = np.where(exponent > 0, (8 + fraction) * 2.0 ** (exponent - 10.0), fraction * 2.0**-9)
    return np.where(codes & 128, -size, size).astype(np.float32)


def e4m3_codes(x):
    """The nearest E4M3 of each number, ties to even codes, magnitudes above 448 saturated."""
    table = np.array([e4m3_values(code) for code in range(127)], np.float64)
    size = np.minimum(np.abs(np.asarray(x, np.float64)), 448.0)
    above = np.searchsorted(table, size)
    below = np.maximum(above - 1, 0)
    up, down = table[above] - size, size - table[below]
    code = np.where((up < down) | ((up == down) & (above % 2 == 0)), above, below)
    return (code | np.where(np.signbit(x), 128, 0)).astype(np.uint8)


def bf16_bits(x):
    """f32 rounded to bf16, to nearest, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
