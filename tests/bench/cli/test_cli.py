"""The command line on the whole path, and every bad input."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.cli import app
from bench.records.folder import RunFolder
from bench.report.accuracy.frame import RESULT_COLUMNS
from bench.store.artifacts import read_artifact


@pytest.fixture(scope="module")
def all_defenses() -> str:
    return "none,convae,puvae,defensegan"


def test_a_run_ends_with_tables_plots_and_records(bench, tiny: Path, all_defenses: str) -> None:  # type: ignore[no-untyped-def]
    command = ("run", "--config", tiny, "--defenses", all_defenses, "--attacks", "fgsm,pgd")
    done = bench(*command, "--out", "out", plots=True)
    assert done.code == 0, done.err
    assert "Plan: 16 cells on " in done.err
    results = pd.read_csv("out/tables/results.csv")
    assert list(results.columns) == list(RESULT_COLUMNS)
    assert len(results) == 16
    assert (results["status"] == "ok").all()
    assert results["robust_accuracy"].between(0, 1).all()
    assert (results["latency_p50_ms"] > 0).all()
    for name in (
        "accuracy.md",
        "accuracy.tex",
        "latency.md",
        "latency.tex",
        "latency.csv",
    ):
        assert Path("out/tables", name).stat().st_size > 100
    plots = {path.name for path in Path("out/plots").iterdir()}
    assert {
        "accuracy_eps_digits_cnn_pgd_graybox.png",
        "accuracy_latency_digits_cnn_fgsm_graybox.png",
        "images_digits_cnn_fgsm_graybox_seed0.png",
    } <= plots
    config = json.loads(Path("out/config.json").read_text())
    assert config["parameters"]["cnn"]["width"] == 8
    (environment,) = RunFolder.open(Path("out")).environments().values()
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]

    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    start = time.monotonic()
    again = bench(*command, "--out", "out")
    assert again.code == 0
    assert "16 already recorded" in again.err
    assert time.monotonic() - start < 30
    after = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    assert before == after
    assert again.out == done.out

    for folder in ("tables", "plots"):
        for path in Path("out", folder).iterdir():
            path.unlink()
    report = bench("report", "out")
    assert report.code == 0
    assert report.out == done.out
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


def test_a_purifier_that_cannot_be_timed_is_reported(bench, tiny: Path, plugins: Path) -> None:  # type: ignore[no-untyped-def]
    command = (
        "run",
        "--config",
        tiny,
        "--plugin",
        plugins / "faulty.py",
        "--eps",
        "0.1",
        "--out",
        "out",
    )
    done = bench(*command, "--defenses", "none,broken:how=latency")
    assert done.code == 1
    assert (
        "not timed at batch size 4: defense broken:how=latency, while it was timed, "
        "raised RuntimeError: four [/is]" in done.err
    )
    assert (pd.read_csv("out/tables/results.csv")["status"] == "ok").all()


def test_a_spec_in_brackets_is_shown_as_it_is(bench, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    spec = "convae:attack=[pgd:steps=2]"
    done = bench("run", "--config", tiny, "--defenses", spec, "--eps", "0.1", "--out", "out")
    assert done.code == 0, done.err
    assert f"defense {spec} on digits, seed 0, trained with classifier cnn" in done.err
    assert "attack=[pgd:steps=2]" in done.out
    assert spec in Path("out/tables/accuracy.md").read_text()


def test_a_folder_that_a_killed_start_left_is_used(bench, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    Path("out").mkdir()
    Path("out/.config.json.ab12.partial").write_text("{")
    assert (
        bench("run", "--config", tiny, "--defenses", "none", "--eps", "0.1", "--out", "out").code
        == 0
    )


def test_the_default_folder_is_found_again(bench, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    command = ("run", "--config", tiny, "--defenses", "none", "--eps", "0.1")
    assert bench(*command).code == 0
    (folder,) = Path("results/runs").iterdir()
    assert folder.name.startswith("tiny-")
    assert "1 already recorded" in bench(*command).err
    assert bench(*command, "--n", "30").code == 0
    assert len(list(Path("results/runs").iterdir())) == 2


def test_a_strangers_plugin_runs_from_outside(bench, tiny: Path, plugins: Path) -> None:  # type: ignore[no-untyped-def]
    plugin = plugins / "my_median.py"
    listed = bench("list", "--plugin", plugin)
    assert "my_median" in listed.out
    assert "radius=1" in listed.out
    assert bench("check", plugin).code == 0
    done = bench(
        "run",
        "--config",
        tiny,
        "--plugin",
        plugin,
        "--defenses",
        "my_median:radius=2",
        "--eps",
        "0.1",
        "--out",
        "o",
    )
    assert done.code == 0, done.err
    assert pd.read_csv("o/tables/results.csv")["defense"].tolist() == ["my_median:radius=2"]


@pytest.mark.parametrize("family", ["defense", "attack", "classifier"])
def test_a_new_plugin_file_passes_its_check_at_once(bench, family: str) -> None:  # type: ignore[no-untyped-def]
    assert bench("new", family, f"my_{family}").code == 0
    done = bench("check", f"./my_{family}.py")
    assert done.code == 0, done.out
    assert "all checks passed" in done.out
    assert bench("new", family, f"my_{family}").code == 2


def test_check_takes_a_name_or_a_spec_and_reports_failures(bench, plugins: Path) -> None:  # type: ignore[no-untyped-def]
    assert bench("check", "none").code == 0
    assert bench("check", "pgd:steps=2").code == 0
    failing = bench("check", plugins / "faulty.py")
    assert failing.code == 1
    assert "FAIL" in failing.out


def test_failing_cells_are_recorded_and_the_others_go_on(bench, tiny: Path, plugins: Path) -> None:  # type: ignore[no-untyped-def]
    command = (
        "run",
        "--config",
        tiny,
        "--plugin",
        plugins / "faulty.py",
        "--eps",
        "0.1",
        "--out",
        "out",
    )
    done = bench(
        *command,
        "--defenses",
        "none,broken:how=nan,broken:how=shape",
        "--attacks",
        "fgsm,broken_attack",
    )
    assert done.code == 1
    results = pd.read_csv("out/tables/results.csv").set_index(["defense", "attack"])
    assert results.loc[("none", "fgsm"), "status"] == "ok"
    assert "beyond eps" in results.loc[("none", "broken_attack"), "reason"]
    assert "NaN" in results.loc[("broken:how=nan", "fgsm"), "reason"]
    assert "shape" in results.loc[("broken:how=shape", "fgsm"), "reason"]
    assert (results["status"] == "failed").sum() == 5
    assert results[results["status"] == "failed"]["robust_accuracy"].isna().all()
    assert "5 of 6 cells failed" in done.err
    assert "failed: " in done.out


BAD = {
    "defense": (["--defenses", "convea"], "unknown defense 'convea'", "did you mean 'convae'"),
    "attack": (["--attacks", "pdg"], "unknown attack 'pdg'", "did you mean 'pgd'"),
    "classifier": (["--classifiers", "cn"], "unknown classifier 'cn'", "did you mean 'cnn'"),
    "dataset": (["--datasets", "digit"], "unknown dataset 'digit'", "did you mean 'digits'"),
    "threat": (["--threats", "gray"], "unknown threat model 'gray'", "graybox"),
    "preset": (["--preset", "quik"], "unknown preset 'quik'", "did you mean 'quick'"),
    "parameter": (["--defenses", "convae:stesp=1"], "unknown parameter", "did you mean 'steps'"),
    "nested": (
        ["--defenses", "convae:attack=[pgd:steps=0]"],
        "steps=0",
        "greater than or equal to 1",
    ),
    "type": (["--defenses", "convae:width=wide"], "width=wide", "valid integer"),
    "restarts": (
        ["--defenses", "defensegan:restarts=0"],
        "restarts=0",
        "greater than or equal to 1",
    ),
    "negative eps": (["--eps", "-0.1"], "--eps = '-0.1'", "greater than or equal to 0"),
    "infinite eps": (["--attacks", "ddn", "--eps", "inf"], "--eps = 'inf'", "finite number"),
    "eps of no attack": (["--eps", "0.1,=0.2"], "--eps =0.2", "there is no attack before the '='"),
    "eps of a wrong attack": (["--eps", "fsgm=0.1"], "--eps fsgm=...", "did you mean 'fgsm'"),
    "eps of no attack of the run": (["--eps", "0.1,cw=1"], "--eps cw=...", "fgsm, pgd"),
    "eps by zero": (["--eps", "0.1,8/0"], "--eps = '8/0'", "such as 8/255"),
    "eps alike": (["--eps", "0.1,0.1000000001"], "0.1 and 0.1000000001", "printed as 0.1"),
    "engine": (["--engines", "egaer"], "unknown engine 'egaer'", "did you mean 'eager'"),
    "weights twice": (["--pretrained", "--weights", "."], "--pretrained or --weights", "not both"),
    "no weights": (["--weights", "."], ". holds no weights", "manifest.json"),
    "backend": (["--device", "mps"], "--device mps", "use --device cpu"),
    "huge": (["--n", "9" * 30], f"--n = '{'9' * 30}'", "less than or equal"),
    "eps of a spec": (
        ["--attacks", "pgd:norm=l2", "--eps", "0.1,pgd:nrm=l2=2"],
        "pgd:nrm=l2",
        "pgd:norm=l2",
    ),
    "threat parameter": (
        ["--threats", "whitebox:eto=3"],
        "parameter of threat model 'whitebox'",
        "did you mean 'eot'",
    ),
    "large eps": (["--eps", "0.1,1.1"], "--eps 1.1: attack 'fgsm'", "takes at most 1"),
    "no images": (["--n", "0"], "--n = '0'", "greater than or equal to 1"),
    "too many images": (["--n", "501"], "--n 501", "has 500 test images"),
    "empty item": (["--attacks", "fgsm,"], "empty item", "comma-separated"),
    "device": (["--device", "tpu"], "unknown device 'tpu'", "cuda:N"),
    "config": (["--config", "absent.toml"], "absent.toml", "No such file"),
    "both": (["--preset", "quick", "--config", "x.toml"], "--preset or --config", "not both"),
    "plugin": (["--plugin", "absent.py"], "absent.py", "does not exist"),
    "module": (["--plugin", "no_such_module"], "no_such_module", "neither a file nor a module"),
    "cache": (["--cache", "file/cache"], "--cache file/cache", "Not a directory"),
    "file as cache": (["--cache", "file"], "--cache file", "it is a file, not a folder"),
    "out": (["--out", "."], ". exists", "--out"),
    "option": (["--defense", "none"], "--defense", "--defenses"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_one_line_and_exit_code_2(  # type: ignore[no-untyped-def]
    bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arguments, what, hint = BAD[case]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(
        "BENCH_CACHE", str(tmp_path / "own-cache")
    )  # other test processes write to the session's
    done = bench("run", *arguments)
    assert done.code == 2
    assert what in done.err
    assert hint in done.err
    assert "Traceback" not in done.err
    if case != "option":
        assert len(done.err.strip().splitlines()) == 1
    assert done.out == ""
    assert not list((tmp_path / "own-cache").rglob("*"))
    assert not Path("results").exists()


NAMES = {
    "data set": 'datasets = ["{}"]',
    "defense": 'defenses = ["{}"]',
    "parameter in a spec": 'defenses = ["convae:{}=1"]',
    "threat model": 'threats = ["{}"]',
    "engine": '[latency]\nengines = ["{}"]',
    "plugin under parameters": '[parameters."{}"]\nwidth = 1',
    "parameter": '[parameters.cnn]\n"{}" = 1',
    "value of a parameter": '[parameters.cnn]\nwidth = "{}"',
    "attack of budgets": '[attack_eps]\n"{}" = [0.1]',
    "restricted plugin": '[only."{}"]\neps = [0.1]',
    "data set of a restriction": '[only.cnn]\ndatasets = ["{}"]',
    "key": '"{}" = 1',
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    "name", [r"x\n\nerror: y", r"\u001b[2J\u001b]0;title\u0007\u202ex", "x" * 5000]
)
def test_a_name_from_a_file_is_shown_in_one_line(bench, kind: str, name: str) -> None:  # type: ignore[no-untyped-def]
    Path("mine.toml").write_text(NAMES[kind].replace("{}", name))
    done = bench("run", "--config", "mine.toml")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.isprintable()
    assert len(line) < 2100


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda_is_refused(bench) -> None:  # type: ignore[no-untyped-def]
    done = bench("run", "--device", "cuda")
    assert done.code == 2
    assert "device 'cuda' is not on this machine" in done.err


def test_two_plugins_of_one_name_are_refused(bench, plugins: Path) -> None:  # type: ignore[no-untyped-def]
    done = bench(
        "run", "--plugin", plugins / "my_median.py", "--plugin", plugins / "my_median_twin.py"
    )
    assert done.code == 2
    assert "two plugins are called defense 'my_median'" in done.err
    assert (
        bench(
            "list", "--plugin", plugins / "my_median.py", "--plugin", plugins / "my_median_twin.py"
        ).code
        == 2
    )


def test_a_plugin_that_cannot_be_imported_is_refused(bench, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "bad.py").write_text("import no_such_thing")
    done = bench("run", "--plugin", "./bad.py")
    assert done.code == 2
    assert "No module named 'no_such_thing'" in done.err


def test_a_folder_of_another_run_is_left_alone(bench, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    command = ("run", "--config", tiny, "--defenses", "none", "--eps", "0.1", "--out", "out")
    assert bench(*command).code == 0
    before = Path("out/config.json").read_bytes()
    done = bench(*command, "--n", "30")
    assert done.code == 2
    assert "another configuration" in done.err
    assert Path("out/config.json").read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [["report", "nowhere"], ["check", "nothing"], ["check", "absent.py"], ["new", "x", "y"]],
)
def test_other_commands_refuse_too(bench, command: list[str]) -> None:  # type: ignore[no-untyped-def]
    done = bench(*command)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", [[], ["run"], ["latency"], ["new"], ["export"]])
def test_every_command_explains_itself(bench, command: list[str], option: str) -> None:  # type: ignore[no-untyped-def]
    done = bench(*command, option)
    assert done.code == 0
    assert "Usage: bench" in done.out
    assert "-h, --help" in done.out


def test_each_command_is_described_in_one_whole_line(
    bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "80")
    _, _, commands = bench("--help").out.partition("Commands:\n")
    lines = [line for line in commands.split("\n\n")[0].splitlines() if line]
    assert [line.split()[0] for line in lines] == [each.name for each in app.registered_commands]
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_the_doctor_shows_versions_and_data(bench) -> None:  # type: ignore[no-untyped-def]
    done = bench("doctor")
    assert done.code == 0
    assert "torch" in done.out
    assert "data mnist" in done.out


def test_a_damaged_outcome_is_computed_again(bench, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    command = ("run", "--config", tiny, "--defenses", "none", "--eps", "0.1", "--out", "out")
    assert bench(*command).code == 0
    (outcome,) = Path("out/cells").glob("*.safetensors")
    sound = read_artifact(outcome).digest
    outcome.write_bytes(outcome.read_bytes()[:-1])
    assert bench("report", "out").code == 2
    assert bench(*command).code == 0
    assert read_artifact(outcome).digest == sound


def interrupted(process, when: Callable[[], bool], number: int) -> tuple[int, str]:  # type: ignore[no-untyped-def]
    limit = time.monotonic() + 90
    while not when() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_ctrl_c_ends_with_130_and_says_how_to_continue(
    bench_process, tiny: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    process = bench_process(
        "run", "--config", tiny, "--out", "out", BENCH_CACHE=str(tmp_path / "cache")
    )
    code, err = interrupted(
        process, lambda: (tmp_path / "out" / "config.json").exists(), signal.SIGINT
    )
    assert code == 130
    assert f"run the same command again: bench run --config {tiny} --out out" in err
