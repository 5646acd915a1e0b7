"""Number formats and block scaling in NumPy: tables and sums, nothing clever.

Codes are `uint8`. Values are `float64`, in which every number below and every sum of this folder's
integer-valued products is exact.
"""

import numpy as np

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
E2M1 = np.concatenate([E2M1, -E2M1])


def _minifloat(exponent_bits, mantissa_bits, bias, ieee):
    """The 256 values of an 8-bit float; `ieee` says whether the top exponent means inf and NaN."""
    values = np.zeros(256)
    for code in range(256):
        sign = -1.0 if code >> 7 else 1.0
        exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
        mantissa = code & (1 << mantissa_bits) - 1
        fraction = mantissa / (1 << mantissa_bits)
        if ieee and exponent == (1 << exponent_bits) - 1:
            value = np.inf if mantissa == 0 else np.nan
        elif not ieee and code & 0x7F == 0x7F:
            value = np.nan
        elif exponent == 0:
            value = fraction * 2.0 ** (1 - bias)
        else:
            value = (1 + fraction) * 2.0 ** (exponent - bias)
        values[code] = sign * value
    return values


E4M3 = _minifloat(4, 3, 7, ieee=False)
E5M2 = _minifloat(5, 2, 15, ieee=True)
E8M0 = 2.0 ** (np.arange(256) - 127.0)
E8M0[255] = np.nan

TABLES = {"e2m1": E2M1, "e4m3": E4M3, "e5m2": E5M2}


def pack_nibbles(codes):
    """Two codes a byte along the last axis, the first in the low half."""
    return (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)


def nearest(table, values, keys=None):
    """Codes of the nearest entries of a table; a tie goes to the even code, too large saturates.

    `keys` picks the codes that may be used; without it, all that are finite.
    """
    keys = np.arange(len(table)) if keys is None else keys
    keys = keys[np.isfinite(table[keys])]
    # Even codes first, so that `argmin` takes them in a tie; +0 before -0.
    keys = keys[np.lexsort((keys, keys & 1))]
    distance = np.abs(values[..., None] - table[keys])
    codes = keys[np.argmin(distance, axis=-1)].astype(np.uint8)
    # Negative values that round to zero keep their sign, as the hardware's conversions do.
    sign = np.uint8(len(table) // 2)
    return np.where(np.signbit(values), codes | sign, codes).astype(np.uint8)


def scaled(codes, table, scales, block):
    """Values of a row-major operand whose rows carry one scale for every `block` elements."""
    return table[codes] * np.repeat(scales, block, axis=-1)


def to_bfloat16(values):
    """Round to nearest even; the 16-bit patterns."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    """The values of 16-bit patterns."""
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
