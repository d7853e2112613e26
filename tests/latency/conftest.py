"""The latency checks under pytest-benchmark: which defenses, on what, and what a run is compared
with.

Given as a path (`make latency` does) this folder brings options and compares runs; met on the way
through all tests it brings the built-in defenses, each of which runs once, and nothing is held to a
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_benchmark.session import BenchmarkSession, PerformanceRegression

from bench.errors import BenchError
from bench.machine.device_lock import exclusive_use
from bench.machine.devices import choose_device, device_name
from bench.plugins.catalog import list_plugins
from bench.plugins.discovery import discover
from tests.latency.baseline import last_of_each, machine_folder, set_aside, share_of_a_core
from tests.latency.ratios import References

BATCH_SIZES = (1, 32)
RATIOS = Path(__file__).parent / "ratios.json"
_COMPARED = pytest.StashKey[bool]()
_SHARE = pytest.StashKey[float]()
_REGRESSED = """
FAILED: slower than this machine's last run beyond the tolerance, as listed above. This run is set
aside: the next is compared with the same figures. A higher LATENCY_TOLERANCE accepts it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("latency")
    group.addoption(
        "--plugin",
        action="append",
        metavar="FILE",
        help="a plugin file or module, timed too; repeatable",
    )
    group.addoption("--device", metavar="DEVICE", help="auto (default), cpu, cuda or cuda:N")
    group.addoption(
        "--seconds",
        type=float,
        metavar="SECONDS",
        help="how long each measurement goes on; default 1",
    )
    group.addoption(
        "--ratios",
        type=Path,
        metavar="FILE",
        help="reference ratios; default tests/latency/ratios.json",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Each machine's runs lie in a folder of their own.

    Pytest-benchmark opens its storage after this.
    """
    try:
        discover(_option(config, "plugin", ()))
        device = choose_device(_option(config, "device", "auto"))
    except BenchError as error:
        raise pytest.UsageError(str(error)) from None
    if config.getoption("benchmark_enable") and not hasattr(config, "_benchmarksession"):
        config.option.benchmark_storage = (
            f"{config.option.benchmark_storage}/{machine_folder(device)}"
        )


def pytest_sessionstart(session: pytest.Session) -> None:
    """A bare `--benchmark-compare` takes the last figure of each test.

    Where there is none, there is no regression.
    """
    benchmarks = _benchmarks(session.config)
    if benchmarks.disabled or benchmarks.compare is not True:
        return
    session.config.stash[_SHARE] = share_of_a_core()
    session.config.stash[_COMPARED] = True
    benchmarks.compared_mapping = last_of_each(benchmarks.storage.load())
    if not benchmarks.compared_mapping:
        benchmarks.compare_fail = None


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Device and threads, in place of processor flags and the momentary clock, which vary."""
    device = choose_device(_option(config, "device", "auto"))
    machine_info["cpu"] = device_name(torch.device("cpu"))
    machine_info["device"] = device_name(device)
    machine_info["threads"] = torch.get_num_threads()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every defense of the catalog at every batch size."""
    names = [
        card.name
        for card in list_plugins(tuple(_option(metafunc.config, "plugin", ())))
        if card.family == "defense" and not card.required
    ]
    metafunc.parametrize("defense", names)
    metafunc.parametrize("batch_size", BATCH_SIZES)


@pytest.fixture(scope="session", autouse=True)
def _alone(pytestconfig: pytest.Config) -> Iterator[None]:
    """Nothing else of this package runs on the device while something is measured."""
    if _benchmarks(pytestconfig).disabled:
        yield
        return
    with exclusive_use(choose_device(_option(pytestconfig, "device", "auto"))):
        yield


@pytest.fixture
def device(pytestconfig: pytest.Config) -> torch.device:
    """The device that is timed."""
    return choose_device(_option(pytestconfig, "device", "auto"))


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float:
    """How long a measurement goes on; 0 where nothing is measured."""
    return (
        0.0 if _benchmarks(pytestconfig).disabled else float(_option(pytestconfig, "seconds", 1.0))
    )


@pytest.fixture
def references(pytestconfig: pytest.Config) -> References:
    """The reference ratios."""
    return References(_option(pytestconfig, "ratios", RATIOS))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """A run that regressed fails; no later run is compared with it, or a second try would pass."""
    yield
    benchmarks = _benchmarks(session.config)
    if _COMPARED in session.config.stash and benchmarks.performance_regressions:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if benchmarks.save or benchmarks.autosave:
            set_aside(benchmarks.storage.query("[0-9][0-9][0-9][0-9]_*")[-1])


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    """Ratios, figures without a reference, and pytest-benchmark's tables without a traceback."""
    _say_ratios(terminalreporter)
    if _COMPARED in config.stash:
        _say_what_is_new(terminalreporter, _benchmarks(config))
    if config.stash.get(_SHARE, 1.0) < 0.9:
        share = f"{config.stash[_SHARE]:.0%}"
        terminalreporter.write_line(
            f"\nThe machine was busy (this process got {share} of a core): times mean little."
        )
    try:
        yield
    except PerformanceRegression:
        terminalreporter.write_line(_REGRESSED, red=True)


def _say_ratios(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        f"{report.nodeid.partition('::')[2]}: {text}"
        for reports in (
            terminalreporter.getreports("passed"),
            terminalreporter.getreports("failed"),
        )
        for report in reports
        for key, text in getattr(report, "user_properties", ())
        if key == "ratio" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("pipeline over none (one thread)", sep="-")
        terminalreporter.write("\n".join(lines) + "\n")


def _say_what_is_new(
    terminalreporter: pytest.TerminalReporter, benchmarks: BenchmarkSession
) -> None:
    earlier = {name for tests in benchmarks.compared_mapping.values() for name in tests}
    new = [test.name for test in benchmarks.benchmarks if test.fullname not in earlier]
    if new and not earlier:
        terminalreporter.write_line(
            "\nFirst run on this machine: nothing to compare with, the next compares with it."
        )
    elif new:
        terminalreporter.write_line(
            f"\nNo earlier figure on this machine, so not compared: {', '.join(new)}"
        )


def _benchmarks(config: pytest.Config) -> BenchmarkSession:
    return config._benchmarksession  # type: ignore[attr-defined]


def _option(config: pytest.Config, name: str, default: Any) -> Any:
    """An option; the default too where this folder was met too late to bring options."""
    given = config.getoption(name, None)
    return default if given is None else given
