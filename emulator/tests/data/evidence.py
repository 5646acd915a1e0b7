"""Writes evidence.toml: python3 evidence.py

Reads the list of forms, the programs of run/ and run/h200.txt, what run/runner.c printed on an H200.
A form counts as executed there when a program that contains it passed.
"""

import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
DATE = "2026-11-21"
REFUSED = {"brkpt": "there is no debugger to stop for"}
# Programs that were written or changed after the run.
LATER = ("tma_store_3d", "tma_load_2d_bf16_nan", "sum_wgmma_e4m3", "sum_wgmma_e5m2")
# These ran under other names, as candidates for how sums are truncated.
SUMS = ("sum_mma_f16_k16", "sum_mma_f16_k8", "sum_mma_bf16_k16", "sum_mma_tf32_k8", "sum_mma_f16_into_f16",
        "sum_wgmma_f16", "sum_wgmma_bf16", "sum_wgmma_tf32", "sum_wgmma_f16_into_f16")
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
    "mma.sync of e4m3 and e5m2: results that need rounding follow neither 13 nor 23 to 26 places over "
    "blocks of 8, 16 or 32. Unexplained; exact results agree.",
    "A store from a box with a negative outermost coordinate (3D, -1) ended with an illegal "
    "instruction; the load at the same place did not. Unexplained, one observation; the emulator "
    "clips the box. The program was changed to coordinate 3 and has not run on a device since.",
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


def key(form):
    first, *rest = form.split(".")
    return first, tuple(sorted(rest))


def main():
    with open(os.path.join(HERE, "ptx-forms.tsv")) as file:
        lines = [line for line in file if not line.startswith("#")][1:]
    listed = [line.split("\t")[0] for line in lines]
    with open(os.path.join(HERE, "run", "h200.txt")) as file:
        passed = {os.path.basename(line.split()[1])[:-4] for line in file if line.startswith("PASS ")}
    passed = (passed | set(SUMS)) - set(LATER)
    emulated, seen = {}, {}
    for name in sorted(os.listdir(os.path.join(HERE, "run"))):
        if not name.endswith(".ptx"):
            continue
        with open(os.path.join(HERE, "run", name)) as file:
            text = file.read()
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
           "programs_not_run = [" + ", ".join(f'"{n}"' for n in LATER) + "]", "learned = ["]
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
