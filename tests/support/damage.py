"""Ways in which a disk, or a hand, spoils a snapshot."""

from __future__ import annotations

import shutil

KINDS = ("flip", "truncate", "empty", "append", "zeros", "swap", "swap-all", "stray", "delete", "folder")


def flipped(data, draw):
    spoiled = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 8])):
        spoiled[draw.randrange(len(data))] ^= draw.randrange(1, 256)
    return spoiled if spoiled != data else flipped(data, draw)


def zeroed(data, draw):
    start = draw.randrange(len(data))
    return data[:start] + bytes(len(data) - start) if any(data[start:]) else zeroed(data, draw)


CHANGES = {
    "flip": flipped,
    "truncate": lambda data, draw: data[: draw.randrange(len(data))],
    "empty": lambda data, draw: b"",
    "append": lambda data, draw: data + draw.choice([b"\n", b" ", b"\0", draw.randbytes(50)]),
    "zeros": zeroed,
}


def damage(newest, older, kind, draw):
    """Spoil the snapshot in the folder `newest`, perhaps with files of the one in `older`; return which file."""
    file = draw.choice(sorted(newest.iterdir()))
    if kind in CHANGES:
        file.write_bytes(CHANGES[kind](file.read_bytes(), draw))
    elif kind == "swap":
        shutil.copy(older / file.name, file)
    elif kind == "swap-all":
        for path in older.iterdir():
            shutil.copy(path, newest / path.name)
    elif kind == "stray":
        (newest / draw.choice(["x", "manifest.json.bak", "tensors.safetensors~"])).write_bytes(b"")
    else:
        file.unlink()
        if kind == "folder":
            file.mkdir()
    return file.name
