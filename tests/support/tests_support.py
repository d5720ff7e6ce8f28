"""Tiny data and tiny models that tests share."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
FRAMEWORKS = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYC",
    "WGQGTLVTVSS",
)
LIGHT = "DIQMTQSPSSLSASVGDRVTITCRASQSISSYLNWYQQKPGKAPKLLIYAASSLQSGVPSRFSGSGSGTDFTLTISSLQPEDFATYYCQQSYSTPLTFGGGTKVEIK"

TWINS = """
[twin-bert]
title = "Tiny BERT"
family = "bert"
parameters = 40_000
licence = "Apache-2.0"
max_length = 254
source = { kind = "twin", layers = 3, hidden = 32, seed = 1 }
recipe = { epochs = 2, batch_size = 8, trainable_layers = 2, learning_rate = 1e-3 }

[twin-esm]
title = "Tiny ESM"
family = "esm"
parameters = 40_000
licence = "Apache-2.0"
max_length = 254
source = { kind = "twin", layers = 3, hidden = 32, seed = 2 }
recipe = { epochs = 2, batch_size = 8, trainable_layers = 2, learning_rate = 1e-3 }
"""

SPECIFICITY = """
task = "antigen-specificity"
title = "Tiny specificity"
chains = "H"
models = ["twin-bert", "twin-esm"]

[source]
files = ["antibodies.csv"]
licence = "CC0-1.0"

[columns]
sequence_id = "id"
vh = "heavy"
vl = "light"
cdrh3 = "cdrh3"
label = "binds"
positive = ["yes"]
negative = ["no"]

[split]
folds = 3
fits = 1

[evaluation]
resamples = 200
"""

PARATOPE = """
task = "paratope"
title = "Tiny paratope"
chains = "HL"
models = ["twin-bert"]

[source]
format = "sabdab"
files = ["chains.csv"]
licence = "CC0-1.0"

[columns]
entry = "entry"
chain = "chain"
sequence = "sequence"
positions = "imgt"
paratope = "paratope"

[split]
folds = 3
fits = 1

[evaluation]
resamples = 200
"""


def mutated(sequence: str, count: int, rng: random.Random) -> str:
    """Return `sequence` with `count` residues exchanged."""
    residues = list(sequence)
    for index in rng.sample(range(len(residues)), count):
        residues[index] = rng.choice(AMINO_ACIDS)
    return "".join(residues)


def antibody_rows(count: int, seed: int = 1) -> list[dict[str, str]]:
    """Return antibodies that bind when their CDR-H3 carries the motif, far enough apart to be split."""
    rng = random.Random(seed)
    rows = []
    for index in range(count):
        binds = index % 2 == 0
        loop = "".join(rng.choice(AMINO_ACIDS) for _ in range(rng.randint(9, 14)))
        cdrh3 = f"AR{loop[:4]}{'WYW' if binds else 'GSG'}{loop[4:]}DY"
        heavy = mutated(FRAMEWORKS[0], 24, rng)
        heavy = heavy[:21] + "C" + heavy[22:-1] + "C" + cdrh3 + FRAMEWORKS[1]
        rows.append(
            {
                "id": f"ab{index:03d}",
                "heavy": heavy,
                "light": mutated(LIGHT, 20, rng),
                "cdrh3": cdrh3,
                "binds": "yes" if binds else "no",
            }
        )
    return rows


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as CSV."""
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def write_specificity(folder: Path, *, count: int = 60, seed: int = 1, toml: str = SPECIFICITY) -> Path:
    """Write a tiny specificity benchmark into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "antibodies.csv", antibody_rows(count, seed))
    (folder / "benchmark.toml").write_text(toml)
    return folder


def write_paratope(folder: Path, *, count: int = 40, seed: int = 2, toml: str = PARATOPE) -> Path:
    """Write a tiny paratope benchmark into `folder`: tyrosines and tryptophans of the third loop touch."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in antibody_rows(count, seed):
        for chain, sequence in (("heavy", row["heavy"]), ("light", row["light"])):
            touching = "".join("1" if a in "YW" and 90 < i < 118 else "0" for i, a in enumerate(sequence))
            rows.append(
                {
                    "entry": row["id"],
                    "chain": chain,
                    "sequence": sequence,
                    "imgt": " ".join(str(i + 1) for i in range(len(sequence))),
                    "paratope": touching,
                }
            )
    write_csv(folder / "chains.csv", rows)
    (folder / "benchmark.toml").write_text(toml)
    return folder


def ab_assets(home: Path, *arguments: str) -> str:
    """Run the command in a process of its own and return what it printed.

    It has all threads, or one where tests run side by side.
    """
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS" or not alone}
    done = subprocess.run(
        [sys.executable, "-m", "ab_assets.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"AB_ASSETS_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_at(word: str, benchmark: str, model: str, place: str) -> None:
    """Evaluate in this process and kill it when progress with this word is heard; the home is AB_ASSETS_HOME."""
    from ab_assets.definitions import defs
    from ab_assets.home import Home
    from jobs.launching import open_instance, run_job
    from resources.compute import compute_of

    def progress(message: str, done: int, total: int) -> None:
        if message.startswith(word):
            os.kill(os.getpid(), signal.SIGKILL)

    home = Home.from_environment()
    with open_instance(home) as instance:
        run_job(defs, instance, home, "evaluate", benchmark, model=model, progress=progress, compute=compute_of(place))
