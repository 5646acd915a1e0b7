"""Writes evidence.toml: python3 evidence.py

Reads the list of forms, the programs of run/ and run/h200.txt, what run/runner.c printed on an H200.
A form counts as executed there when a program that contains it passed, or gave its answer.
"""

import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
DATE = "2026-11-21"
REFUSED = {"brkpt": "there is no debugger to stop for"}
LEARNED = [
    "TMA: the innermost coordinate must start at a multiple of 16 bytes; anything else ends the "
    "program with an illegal instruction. The emulator took it; now it is a fault.",
    "TMA: what is outside a tensor with NaN fill reads as 0x7ff7 in every 16 bits, for f16 and f32. The "
    "emulator had 0x7fff and 0x7fffffff.",
    "add.rm and fma.rm: an exact zero from terms of different sign is -0. The emulator gave +0.",
    "f16, bf16 and tf32, mma.sync and wgmma: one truncation over the whole K, 25 places, f32 results "
    "truncated, f16 results rounded to nearest; every bit agrees.",
    "wgmma of e4m3 and e5m2: 13 places, and the f32 result keeps 13 places of its fraction. Found from "
    "51 words of the device's answers; the emulator kept all 23 places.",
    "mma.sync of e4m3 and e5m2: not an instruction of Hopper's. The assembler makes f16 of the factors, adds "
    "up the products of the lower two of each four k, then those of the upper two onto that (25 places "
    "each), and adds C at the end, rounded to nearest. Read from the machine code, then confirmed: eight "
    "programs, every bit. The emulator had one sum with C in it.",
    "wmma of tf32 (m16n16k8): two sums of four k, not one of eight.",
    "mma.sync of f64: a chain of fused multiply-adds in the order of k from C on; every bit of all shapes.",
    "wmma of f16: eight registers for A and B in all three shapes; the emulator wanted others for m32n8k16 "
    "and m8n32k16.",
    "Stores and reductions from a box with a negative coordinate end with an illegal instruction, in any "
    "dimension, with and without swizzle (13 cases); past the end they are cut. Loads are filled on both "
    "sides. The emulator cut both; now it is a fault.",
    "A box whose rows are shorter than those of the swizzle: rows lie as far apart as the swizzle's (32, 64, "
    "128 bytes), and the gaps keep what they held. The emulator packed them.",
    "Tensor maps of type TFLOAT32: loads round to tf32, to nearest even; NaN becomes 0x7fffe000. FLOAT32_FTZ "
    "changes nothing on load.",
    "f64, directed rounding near the ends of the range: overflow stops at the largest number, results below "
    "the normal ones are rounded once. The emulator rounded some of them twice or to infinity.",
    "f64: NaN comes out with its payload and sign, made quiet, the last operand's before the first's (a "
    "division's first); infinity less infinity is 0xfff8000000000000. neg and abs of f32, f16 and bf16 make "
    "0x7fffffff (0x7fff) of NaN.",
    ".ftz of mul and fma, f32 and f16: a result below the least normal number is zero even where rounding "
    "would lift it there.",
    "atom and red add.f32 in global memory take subnormal numbers for zero, in shared memory they do not, nor "
    "do bulk reductions; NaN is 0x7fffffff, and 0x7fff in f16 and bf16.",
    "mma.sp and wgmma.sp of f16, bf16, tf32, bytes and 8-bit floats, every selector: no disagreement in 25 programs.",
    "rem by zero is all ones, as div is, with 16, 32 and 64 bits.",
    "cvt: NaN from f64 to s8 is -128; to f32, f16 and bf16 its upper bits are kept; cvt.rna.tf32 cuts off the "
    "lower bits of NaN, cvt.rn and .rz give 0x7fffe000.",
    "div.approx.f32 by more than 2^126 is zero times the dividend; rcp.approx.ftz.f64 and rsqrt read the "
    "upper half of their operand alone.",
]


def forms_of(text):
    out = set()
    for line in text.split("\n"):
        line = line.split("//")[0].strip()
        line = re.sub(r"^@!?%\w+\s+", "", line)
        word = line.split(" ")[0].rstrip(";") if line else ""
        if re.fullmatch(r"[a-z][\w:.]*", word) and ("." in word or word in ("ret", "bra", "trap")):
            out.add(word)
    return out


def read(name):
    with open(os.path.join(HERE, "run", name + ".ptx")) as file:
        return file.read()


def key(form):
    first, *rest = form.split(".")
    return first, tuple(sorted(rest))


def main():
    with open(os.path.join(HERE, "ptx-forms.tsv")) as file:
        lines = [line for line in file if not line.startswith("#")][1:]
    listed = [line.split("\t")[0] for line in lines]
    with open(os.path.join(HERE, "run", "h200.txt")) as file:
        passed = {os.path.basename(line.split()[1])[:-4] for line in file if line.startswith("PASS ")}
    with open(os.path.join(HERE, "run", "answers.txt")) as file:
        passed |= {line.split()[0] for line in file}
    names = {name[:-4] for name in os.listdir(os.path.join(HERE, "run")) if name.endswith(".ptx")}
    passed &= names
    later = sorted(name for name in names - passed if "//@ launch" in read(name))
    emulated, seen = {}, {}
    for name in sorted(os.listdir(os.path.join(HERE, "run"))):
        if not name.endswith(".ptx"):
            continue
        text = read(name[:-4])
        if "//@ launch" not in text:
            continue
        for form in forms_of(text):
            emulated.setdefault(key(form), form)
            if name[:-4] in passed:
                seen[key(form)] = seen.get(key(form), 0) + 1
    out = ["# What is known of each instruction form, written by evidence.py.",
           "# decoded and emulated: by the tests of the emulator. h200: the day on which a program of run/",
           "# that contains the form left the expected bits on the device; programs: how many did.",
           "", "[device.h200]", 'name = "NVIDIA H200"', 'driver = "580.159.04"', f'date = "{DATE}"',
           f"programs_passed = {len(passed)}",
           "programs_not_run = [" + ", ".join(f'"{n}"' for n in later) + "]", "learned = ["]
    out += [f'    "{text}",' for text in LEARNED] + ["]"]
    others = sorted(form for k, form in emulated.items() if k not in {key(f) for f in listed})
    for form in listed + others:
        out += ["", "[[form]]", f'name = "{form}"', f"listed = {str(form in listed).lower()}", "decoded = true"]
        if form in REFUSED:
            out += ["emulated = false", f'reason = "{REFUSED[form]}"']
        else:
            out.append("emulated = true")
        if key(form) in seen:
            out += [f'h200 = "{DATE}"', f"programs = {seen[key(form)]}"]
    with open(os.path.join(HERE, "evidence.toml"), "w") as file:
        file.write("\n".join(out) + "\n")
    ran = sum(key(form) in seen for form in listed)
    print(f"{len(listed)} listed, {ran} of them on the device; {len(others)} others, "
          f"{sum(key(form) in seen for form in others)} on the device; {len(passed)} programs")


if __name__ == "__main__":
    main()
