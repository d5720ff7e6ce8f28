"""Jobs run here and now, on the instance the UI shows."""

from __future__ import annotations

from ab_assets.definitions import defs
from ab_assets.home import Home
from ab_assets.progress import silent
from jobs.launching import open_instance, prepare_dagster_home, register, run_job


def test_the_caller_hears_how_far_long_work_is(made):
    heard: list[tuple[str, int, int]] = []
    with open_instance(made) as instance:
        run_job(
            defs,
            instance,
            made,
            "evaluate",
            "tiny-paratope",
            model="twin-bert",
            force=True,
            progress=lambda *said: heard.append(said),
        )
    assert any(done == total for _, done, total in heard)
    assert {message.split(",")[0].split(" ")[0] for message, _, _ in heard} >= {"loading", "epoch"}


def test_a_model_that_is_not_listed_is_not_compared(made):
    with open_instance(made) as instance:
        result = run_job(defs, instance, made, "evaluate", "tiny-paratope", model="twin-esm", progress=silent)
    assert result.error is None
    assert {item.compared for item in result.made} == {False}
    assert len(result.made) == 7


def test_an_error_of_the_work_is_returned(made):
    with open_instance(made) as instance:
        register(instance, ["nothing-here"])
        result = run_job(defs, instance, made, "prepare", "nothing-here", progress=silent)
    assert result.error is not None
    assert result.error.exit_code == 2


def test_in_a_pod_commands_use_the_instance_that_the_deployment_gives(home, tmp_path, monkeypatch):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert prepare_dagster_home(home) == home.dagster
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert prepare_dagster_home(home) == tmp_path


def test_a_pod_without_given_settings_takes_the_homes(home, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert prepare_dagster_home(home) == home.dagster


def test_settings_follow_the_compute_unless_they_were_edited(tmp_path, monkeypatch):
    home = Home(tmp_path)
    settings = prepare_dagster_home(home) / "dagster.yaml"
    assert "max_concurrent_runs: 2" in settings.read_text()
    monkeypatch.setenv("AB_ASSETS_COMPUTE", "kubernetes")
    prepare_dagster_home(home)
    assert "max_concurrent_runs: 10" in settings.read_text()
    settings.write_text(settings.read_text() + "# mine\n")
    monkeypatch.delenv("AB_ASSETS_COMPUTE")
    prepare_dagster_home(home)
    assert settings.read_text().endswith("# mine\n")
