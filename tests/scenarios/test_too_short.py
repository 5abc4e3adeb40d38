"""Too short a window is not judged; a plan that cannot fit says so first, with what would fit."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.checks.model import Check, CheckStatus
from reports.checks.trust import assess_trust
from reports.metrics.compute import compute_metrics
from reports.metrics.run_data import load_run
from results.errors import AtonceError, ExitCode
from results.run_info import RouteRecord
from results.schema import Cell, Scenario, Variant
from scenarios.doctor import commands
from scenarios.doctor.options import DoctorOptions
from scenarios.doctor.settings import DoctorSettings, warn_too_few_requests
from tests.reports.test_report import BROKEN
from tests.support import simulate_loads
from tests.support import simulate_run as simulate
from tests.support.evidence_factory import ROUTE, SimulatedRoute, bedside, look
from tests.support.recordings import mark, recording, write

OF_THE_CPU = (
    "other processes",
    "stolen CPU",
    "generator CPU",
    "generator CPU, worst second",
    "generator stalls",
)


def checked(folder: Path, window: float) -> dict[str, Check]:
    """Checks of a crowd on a machine busy for five ticks of 10 ms in any 40 ms, as counted."""
    act = dataclasses.replace(
        BROKEN.sessions[0],
        cells=tuple(
            dataclasses.replace(cell, window=window)
            for cell in BROKEN.sessions[0].cells
            if cell.scenario is Scenario.CROWD
        ),
    )
    path = simulate.write(folder, simulate.World(plan=dataclasses.replace(BROKEN, sessions=(act,))))
    load = pd.read_parquet(path / "load.parquet")
    totals = {"used": 4.0 * load.t, "stolen": 0.2 * load.t}
    load.assign(**totals).to_parquet(path / "load.parquet")
    cell = f"crowd/{Variant.BROKEN_ASYNC}/8"
    return {
        check.name: check
        for check in assess_trust(compute_metrics(load_run(path))).checks
        if check.cell == cell
    }


def test_what_is_read_in_ticks_of_ten_milliseconds_is_not_judged_in_forty(tmp_path: Path) -> None:
    """187 % of all cores was used by neither, said a window of 40 ms."""
    short, long = checked(tmp_path / "a", 0.04), checked(tmp_path / "b", 2.5)
    assert {short[name].status for name in OF_THE_CPU} == {CheckStatus.UNKNOWN}
    assert all("too short" in short[name].why for name in OF_THE_CPU)
    assert long["other processes"].status is CheckStatus.FAIL
    assert long["stolen CPU"].status is CheckStatus.FAIL
    assert long["generator CPU"].status is CheckStatus.PASS


def test_a_window_that_its_ceiling_cut_to_almost_nothing_is_no_measurement(tmp_path: Path) -> None:
    """Neither for what is asked next nor for the verdict; a longer window is."""
    for seconds, is_one in ((0.04, False), (0.7, True)):
        cell = dataclasses.replace(bedside(0.005).few_users_cell(), most=200, precision=0.0)
        moments = {"open": 10.0, "ceiling": 10.0 + seconds, "close": 10.0 + seconds}
        spools = tmp_path / str(seconds)
        write(spools / "load" / "route-01-1.jsonl", mark(cell, **moments))
        evidence = recording(spools, cell).observe(RouteRecord(route=ROUTE))
        assert (8 in evidence.levels) is is_one
        crowd = dataclasses.replace(simulate_loads.crowd(8, 5 * seconds), most=200, window=3.0)
        path = simulate_loads.write(
            tmp_path / f"{seconds}-run", [crowd], simulate_loads.Server(service=0.005)
        )
        table = pd.read_parquet(path / "load.parquet")
        last = table[table["mark"] == "close"]
        close = float(table.t[table["mark"] == "open"].max()) + seconds
        table.loc[last.index, "t"] = close
        ceiling = last.assign(mark="ceiling", t=close)
        pd.concat([table, ceiling]).to_parquet(path / "load.parquet")
        study = compute_metrics(load_run(path))
        assert [unfinished.cell for unfinished in study.unfinished_cells] == (
            [] if is_one else [crowd.name]
        )


@pytest.mark.parametrize(("mark", "is_one"), [("precise", True), ("silent", True), ("end", False)])
def test_a_window_that_closed_early_on_purpose_is_a_measurement(
    tmp_path: Path, mark: str, *, is_one: bool
) -> None:
    """Its mark says why; without one the generator was stopped."""
    crowd = simulate_loads.crowd(8, 6.0)
    path = simulate_loads.write(tmp_path / "run", [crowd], simulate_loads.Server(service=0.005))
    table = pd.read_parquet(path / "load.parquet")
    last = table[table["mark"] == "close"]
    table.loc[last.index, "t"] = float(table.t[table["mark"] == "open"].max()) + 2.0
    pd.concat([table, last.assign(mark=mark)]).to_parquet(path / "load.parquet")
    unfinished = compute_metrics(load_run(path)).unfinished_cells
    assert [cell.cell for cell in unfinished] == ([] if is_one else [crowd.name])


@pytest.mark.parametrize(
    ("requests", "service", "fits"),
    [
        (20_000, 0.0005, True),
        (20_000, 0.1, True),
        (5_000, 0.0005, True),
        (1_000, 0.0005, False),
        (1_000, 0.01, False),
        (1_000, 1.0, True),
    ],
)
def test_a_route_for_which_the_requests_are_too_few_is_said_before_it_is_loaded(
    requests: int, service: float, *, fits: bool
) -> None:
    """With how many would do; so many do."""
    planner = dataclasses.replace(bedside(service), requests=requests)
    why = planner.why_too_few_requests(planner.single_user_cell(), planner.few_users_cell())
    assert (why is None) is fits
    if why:
        assert f"--requests {requests:,} allows {requests // 5:,} for each level" in why
        enough = int(why.rpartition("--requests ")[2].rstrip(".").replace(",", ""))
        assert (
            dataclasses.replace(planner, requests=enough).why_too_few_requests(
                planner.single_user_cell(), planner.few_users_cell(), planner.many_users_cell(None)
            )
            is None
        )


def test_no_level_is_begun_for_which_the_requests_are_too_few() -> None:
    """The few are enough for a held loop; if they leave it open, the many are asked for first."""
    planner = dataclasses.replace(bedside(0.1), requests=1_000)
    refused: list[str] = []

    def fits(cell: Cell, _: bool) -> bool:  # noqa: FBT001
        why = planner.why_too_few_requests(dataclasses.replace(cell, most=planner.requests // 5))
        refused.extend([why] if why else [])
        return not why

    truth = SimulatedRoute(0.1, {8: look(8, 80)})
    assert truth.examine(fits, requests=1_000) == ["1", "8"]
    assert "--requests" in refused[0]


def order_of(**words: Any) -> DoctorSettings:
    """The settings of a doctor run."""
    return commands.parse_options(DoctorOptions(target="shop:app", **words))


def test_a_budget_that_no_route_fits_is_refused_and_what_would_fit_is_said() -> None:
    """Before the app is started."""
    with pytest.raises(AtonceError, match=r"--budget 5s: too short .* --budget 15s") as trouble:
        order_of(budget="5s")
    assert trouble.value.code is ExitCode.USAGE
    assert order_of(budget="15s").budget == 15.0


def test_requests_that_will_not_do_are_said_beforehand() -> None:
    """Too few for routes that are too fast for them; nothing where all fits."""
    assert list(warn_too_few_requests(order_of())) == []
    (warning,) = warn_too_few_requests(order_of(requests=1_000))
    assert "--requests 1,000 are too few for routes that take less than" in warning
