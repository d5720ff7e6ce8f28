"""The command as a person types it: answers, refusals, exit codes, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from mail_server import PASSWORD, USER, mail_server
from tests_support import PARATOPE, SPECIFICITY, write_csv, write_paratope, write_specificity

from ab_assets.commands.intake import DEFINED
from ab_assets.commands.rounds import DEMO_MODEL, DEMOS


def run(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ab_assets.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            "AB_ASSETS_HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "OMP_NUM_THREADS": "1",
            **environment,
        },
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_specificity(tmp_path / "mine", toml=SPECIFICITY.replace('["twin-bert", "twin-esm"]', '["antiberty"]'))


def edit(folder: Path, old: str, new: str) -> None:
    toml = folder / "benchmark.toml"
    assert old in toml.read_text()
    toml.write_text(toml.read_text().replace(old, new))


COMMANDS = (
    *("models", "validate", "add", "fetch", "materialize", "predict", "plan", "explain", "history", "diff", "status"),
    *("metrics", "report", "verify", "demo", "mail", "ui", "backfill", "gc", "rebuild-catalogue"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, tmp_path):
    done = run(command, "--help", home=tmp_path)
    assert done.returncode == 0
    assert f"ab-assets {command}" in done.stdout


def test_help_imports_nothing_heavy(tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ab_assets.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for heavy in ("torch", "dagster", "polars", "pydantic"):
        assert f"| {heavy}\n" not in done.stderr


def test_a_good_folder_is_ready_and_says_what_comes_next(folder, tmp_path):
    done = run("validate", str(folder), home=tmp_path / "home")
    assert done.returncode == 0
    assert "ab-assets add" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('vh = "heavy"', 'vh = "hevy"', ["hevy", "heavy"]),
        ('chains = "H"', 'chain = "H"', ["chain", "chains"]),
        ('models = ["antiberty"]', 'models = ["antibertie"]', ["antibertie", "antiberty"]),
        ('negative = ["no"]', 'negative = ["nope"]', ["no", "antibodies.csv"]),
        ("antibodies.csv", "antibody.csv", ["antibody.csv"]),
        ("folds = 3", "folds = 1", ["folds", "3"]),
        ("fits = 1", 'policy = "random"', ["certificate"]),
    ],
)
def test_a_mistake_is_named_and_exits_2(folder, tmp_path, old, new, words):
    edit(folder, old, new)
    done = run("validate", str(folder), home=tmp_path / "home")
    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr


def test_all_mistakes_are_shown_at_once(folder, tmp_path):
    edit(folder, 'vh = "heavy"', 'vh = "hevy"')
    edit(folder, '["antiberty"]', '["antibertie"]')
    done = run("validate", str(folder), "--json", home=tmp_path / "home")
    assert done.returncode == 2
    assert len(json.loads(done.stdout)) >= 2


def test_an_empty_class_is_named(folder, tmp_path):
    file = folder / "antibodies.csv"
    file.write_text(file.read_text().replace(",no", ",yes"))
    done = run("validate", str(folder), home=tmp_path / "home")
    assert done.returncode == 2
    assert "negative" in done.stderr


def test_a_truncated_file_is_named(tmp_path):
    folder = write_specificity(tmp_path / "cut", toml=SPECIFICITY.replace("antibodies.csv", "antibodies.parquet"))
    pl.read_csv(folder / "antibodies.csv").write_parquet(folder / "antibodies.parquet")
    whole = (folder / "antibodies.parquet").read_bytes()
    (folder / "antibodies.parquet").write_bytes(whole[: len(whole) // 2])
    done = run("validate", str(folder), home=tmp_path / "home")
    assert done.returncode == 2
    assert "antibodies.parquet" in done.stderr


@pytest.mark.parametrize("name", ["../x", "a/b", "UPPER", ".hidden"])
@pytest.mark.parametrize("command", ["materialize", "metrics", "report", "plan", "history", "diff"])
def test_a_hostile_name_is_refused_everywhere(name, command, tmp_path):
    done = run(command, name, home=tmp_path)
    assert done.returncode == 2
    assert "benchmark name" in done.stderr


def test_an_unknown_benchmark_is_refused_with_what_to_do(tmp_path):
    done = run("materialize", "nothing", home=tmp_path)
    assert done.returncode == 2
    assert "ab-assets add" in done.stderr


def test_what_was_not_made_exits_6(folder, tmp_path):
    home = tmp_path / "home"
    assert run("add", str(folder), home=home).returncode == 0
    done = run("metrics", "mine", home=home)
    assert done.returncode == 6
    assert "ab-assets materialize mine" in done.stderr


def test_an_existing_benchmark_is_not_replaced_unasked(folder, tmp_path):
    home = tmp_path / "home"
    assert run("add", str(folder), home=home).returncode == 0
    assert run("add", str(folder), home=home).returncode == 2
    assert run("add", str(folder), "--replace", home=home).returncode == 0


def test_models_names_what_must_be_brought(tmp_path):
    rows = json.loads(run("models", "--json", home=tmp_path).stdout)
    by_name = {row["name"]: row for row in rows}
    assert by_name["antiberty"]["available"]
    assert {"esm2-8m", "esm2-650m"} <= set(by_name)


def test_a_fetch_without_network_or_mirror_says_what_to_bring(tmp_path):
    done = run("fetch", "sarscov2-neutralisation", home=tmp_path)
    assert done.returncode == 4
    assert "AB_ASSETS_MIRROR" in done.stderr
    assert not list((tmp_path / "benchmarks").glob("*"))


def test_a_fetch_asks_the_mirror_by_digest(tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "sarscov2_paired.csv").write_text("id,heavy,light,label\n")
    done = run("fetch", "sarscov2-neutralisation", home=tmp_path, AB_ASSETS_MIRROR=str(tmp_path / "mirror"))
    assert done.returncode == 4  # the file of that name is not the one that was declared


def test_a_second_round_reuses_everything(made):
    done = run("materialize", "tiny-specificity", home=made.root)
    assert done.returncode == 0, done.stderr
    assert "prepare tiny-specificity: 0 made, 7 reused" in done.stdout
    assert "evaluate tiny-specificity twin-bert: 0 made, 6 reused" in done.stdout
    assert "report tiny-specificity: 0 made, 2 reused" in done.stdout


def test_metrics_give_every_method_with_intervals_and_the_certificate(made):
    document = json.loads(run("metrics", "tiny-specificity", "--json", home=made.root).stdout)
    assert document["certificate"]["maximum"]["vh"] < 0.9
    for method in ("twin-bert fine-tuned", "twin-bert fine-tuned-shuffled", "kmer-logistic", "majority"):
        found = document["methods"][method]
        assert found["positives"] > 0
        for metric in ("ap", "auroc", "mcc", "f1", "recall", "fpr"):
            assert {"value", "low", "high", "reason"} <= set(found[metric])


def test_the_report_is_a_file(made):
    path = Path(run("report", "tiny-paratope", home=made.root).stdout.strip())
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_verify_finds_a_flipped_byte(made, tmp_path):
    import shutil

    shutil.copytree(made.root / "store", tmp_path / "store")
    assert run("verify", home=tmp_path).returncode == 0
    file = next((tmp_path / "store" / "objects" / "split").glob("*/roles.parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    done = run("verify", home=tmp_path)
    assert done.returncode == 5
    assert "roles.parquet" in done.stderr


def test_new_antibodies_are_scored_called_and_placed(made, tmp_path):
    from tests_support import antibody_rows

    known = antibody_rows(60, seed=1)[:1]
    rows = [{"id": "known", "heavy": known[0]["heavy"]}, {"id": "odd", "heavy": "A" * 60 + known[0]["heavy"][60:]}]
    write_csv(tmp_path / "new.csv", rows)
    done = run("predict", "tiny-specificity", "twin-bert", str(tmp_path / "new.csv"), home=made.root)
    assert done.returncode == 0, done.stderr
    table = pl.read_csv(tmp_path / "new.predictions.csv")
    assert table["sequence_id"].to_list() == ["known", "odd"]
    assert table["probability"].is_between(0, 1).all()
    assert table["out_of_domain"].to_list() == [False, True]


def test_residues_of_new_antibodies_are_scored_one_by_one(made, tmp_path):
    from tests_support import antibody_rows

    new = antibody_rows(3, seed=77)
    write_csv(tmp_path / "new.csv", [{"id": row["id"], "vh": row["heavy"], "vl": row["light"]} for row in new])
    out = tmp_path / "out.parquet"
    done = run("predict", "tiny-paratope", "twin-bert", str(tmp_path / "new.csv"), "--output", str(out), home=made.root)
    assert done.returncode == 0, done.stderr
    table = pl.read_parquet(out).sort("sequence_id")
    assert table["vh_probabilities"].list.len().to_list() == [len(row["heavy"]) for row in new]


def test_plan_says_nothing_is_due_after_a_round(made):
    done = run("plan", "tiny-paratope", home=made.root)
    assert done.stdout.strip().endswith("0 of 15 to make.")


def test_status_lists_benchmarks_and_reports(made):
    rows = json.loads(run("status", "--json", home=made.root).stdout)
    row = next(row for row in rows if row["benchmark"] == "tiny-specificity")
    assert row["fresh"] == row["partitions"]
    assert row["report"].endswith("report.html")


def test_a_paratope_of_the_wrong_length_is_named(tmp_path):
    folder = write_paratope(tmp_path / "short", toml=PARATOPE.replace("twin-bert", "antiberty"))
    lines = (folder / "chains.csv").read_text().splitlines()
    lines[3] = lines[3][:-1]
    (folder / "chains.csv").write_text("\n".join(lines) + "\n")
    done = run("validate", str(folder), home=tmp_path / "home")
    assert done.returncode == 2
    assert "chains.csv:3" in done.stderr


@pytest.mark.parametrize("name", DEMOS)
def test_the_demos_name_the_model_beside_which_others_are_compared(name):
    assert f'models = ["{DEMO_MODEL}"]' in (DEFINED / name / "benchmark.toml").read_text()


def test_mail_is_tried_before_anyone_waits_for_it(tmp_path):
    done = run("mail", home=tmp_path)
    assert (done.returncode, "--preview BENCHMARK" in done.stderr) == (2, True)
    done = run("mail", "--test", home=tmp_path)
    assert done.returncode == 2
    assert "there is no mail.toml" in done.stderr
    with mail_server(auth=True) as box:
        (tmp_path / "mail.toml").write_text(
            f'host = "127.0.0.1"\nport = {box.port}\nsecurity = "none"\nsender = "a@lab.example"\n'
            'recipients = ["you@lab.example", "me@lab.example"]\n'
        )
        secrets = {"AB_ASSETS_SMTP_USER": USER, "AB_ASSETS_SMTP_PASSWORD": PASSWORD}
        done = run("mail", "--test", home=tmp_path, **secrets)
        assert done.returncode == 0, done.stderr
        assert "you@lab.example, me@lab.example" in done.stdout
        wrong = run("mail", "--test", home=tmp_path, **secrets | {"AB_ASSETS_SMTP_PASSWORD": "wrong-one"})
    assert box.subjects() == ["ab-assets: a test"]
    assert wrong.returncode == 1
    assert "refused user and password" in wrong.stderr
    for text in (done.stdout, done.stderr, wrong.stdout, wrong.stderr):
        assert PASSWORD not in text
        assert "wrong-one" not in text


def test_a_letter_can_be_looked_at(tmp_path):
    write_specificity(tmp_path / "benchmarks" / "tiny", toml=SPECIFICITY.replace("Tiny spec", "A <b>tiny</b> spec"))
    done = run("mail", "--preview", "tiny", "--output", str(tmp_path / "letter.html"), home=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip()).read_text()
    assert "There are no results yet." in page
    assert "A &lt;b&gt;tiny&lt;/b&gt; spec" in page
    assert "cid:" not in page
    assert run("mail", "--preview", "tinny", home=tmp_path).returncode == 2


def test_a_demo_that_is_none_is_refused_before_anything_is_made(tmp_path):
    done = run("demo", "demo-paratop", home=tmp_path)
    assert done.returncode == 2
    assert "there is no demo 'demo-paratop'" in done.stderr
    assert "demo-paratope" in done.stderr
    assert not (tmp_path / "benchmarks").exists()
