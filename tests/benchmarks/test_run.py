"""The command, from the choice of rows to the files that it writes."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import environments, harness, machine, plots, report
from benchmarks import stage as stages
from benchmarks.clients import KINDS
from benchmarks.environments import Isolated, UnavailableError
from benchmarks.harness import Effort, Failure, Outcome
from benchmarks.rows import FAMILIES, ROWS, find
from benchmarks.run_one import Measurement
from benchmarks.stage import Stage
from tests.house.repository import ROOT


def test_each_row_has_a_name_and_a_title_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len({row.title for row in ROWS}) == len(ROWS)


def test_each_row_has_a_peer() -> None:
    alone = [row.name for row in ROWS if sum(kind.does(row, name) for name, kind in KINDS.items()) < 2]
    assert alone == []


def test_a_row_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no row is named 'nonsense': the rows are get-4k-1"):
        find("nonsense")


def test_the_command_measures_and_writes(tmp_path: Path) -> None:
    chosen = ["--only", "file-get-4k-1", "--client", "s3dlio", "--client", "obstore"]
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path), *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    assert [each["client"] for each in document["measurements"]] == ["s3dlio", "obstore"]
    assert "| file:// GET 4 KiB, 1 in flight |" in (tmp_path / "table.md").read_text()
    assert ElementTree.parse(tmp_path / "file.svg").getroot().tag.endswith("svg")


def test_a_client_that_fails_is_out_of_the_row_and_no_other(stage: Stage, tmp_path: Path) -> None:
    broken = replace(stage, home=tmp_path)  # no objects there
    heard: list[Measurement | Failure] = []
    names = ["s3dlio", "obstore"]
    outcome = harness.run(broken, [find("file-get-4k-1")], names, Effort(others=2, seconds=0.0), heard.append)
    assert [each.client for each in outcome.failures] == names
    assert outcome.measurements == []
    assert heard == outcome.failures
    assert "000000" in outcome.failures[0].words


def measurement(row: str, client: str, wall: float) -> Measurement:
    """Return a measurement of 1000 objects, or of 1 GB."""
    return Measurement(row=row, client=client, objects=1000, moved=10**9, wall=wall, cpu=wall / 2, peak_memory=64 << 20)


def made_up() -> report.Run:
    """Return the run of two rows, in which one client was missing and another failed."""
    done = [
        measurement(row, client, wall)
        for row, client, walls in (
            ("get-4k-1", "s3dlio", (1.0, 2.0, 9.0)),
            ("get-4k-1", "obstore", (4.0, 4.0, 4.0)),
            ("get-1m-8", "s3dlio", (0.5, 0.5, 0.5)),
            ("get-1m-8", "obstore", (1.0, 1.0, 1.0)),
        )
        for wall in walls
    ]
    return report.Run(
        machine=machine.describe("python -m benchmarks", {"s3dlio": "1.2.3"}),
        rows=[find("get-4k-1"), find("get-1m-8")],
        outcome=Outcome(done, [Failure(row="get-4k-1", client="boto3", words="KeyError: 'a|b'")]),
        left_out=["s3dlio-wheel, in every row: there is no Python 3.12"],
    )


def test_the_page_has_medians_ratios_goals_and_what_is_missing() -> None:
    text = report.page(made_up())
    assert "## Goals: 2 of 2 met" in text
    assert "| GET 4 KiB, 1 in flight | ≥ 2.00 × rate | 2.00 × rate | obstore | met |" in text
    line = next(line for line in text.splitlines() if line.startswith("| GET 4 KiB, 1 in flight | 500 op/s"))
    assert line == (
        "| GET 4 KiB, 1 in flight | 500 op/s · 1,000.0 µs/op · 64 MiB | 250 op/s · 2,000.0 µs/op · 64 MiB "
        "| 2.00 | 0.50 | 0% | 3 |"
    )
    assert "* s3dlio-wheel, in every row: there is no Python 3.12\n" in text
    assert "* GET 4 KiB, 1 in flight, boto3: KeyError: 'a|b'\n" in text


def test_the_document_has_the_verdicts(tmp_path: Path) -> None:
    report.write(tmp_path, made_up())
    document = json.loads((tmp_path / "results.json").read_text())
    assert [each["verdict"] for each in document["goals"]] == ["met", "met"]
    assert len(document["measurements"]) == 12
    assert document["failures"][0]["client"] == "boto3"


def test_panels_hold_rates_and_cpu_time_by_client() -> None:
    run = made_up()
    drawn = {panel.title: panel for panel in plots.panels(run.rows, run.summaries())}
    assert [*drawn] == ["GET, op/s", "GET, CPU µs/op", "GET, GB/s", "GET, CPU s/GB"]
    assert drawn["GET, op/s"].values == {"s3dlio": (500.0,), "obstore": (250.0,)}
    assert drawn["GET, GB/s"].places == ("1 MiB\n8 in flight",)


def test_pictures_are_drawn_for_what_was_measured(tmp_path: Path) -> None:
    run = made_up()
    assert plots.draw(tmp_path, run.rows, run.summaries()) == [tmp_path / "get.svg"]
    assert "s3dlio" in (tmp_path / "get.svg").read_text()


def test_each_family_has_rows() -> None:
    assert set(FAMILIES) == {"get", "put", "async", "tls", "latency", "list", "file", "direct", "import"}


def test_a_row_beyond_the_memory_is_left_out_with_its_reason() -> None:
    huge = replace(find("get-64m-64"), batch=1 << 20)
    assert "of memory, and there are" in stages.left_out([huge])[huge.name]
    assert stages.left_out([find("get-4k-1")]) == {}


def test_a_client_without_its_python_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = tmp_path / "none.txt"
    wanted.write_text("")
    isolate(monkeypatch, tmp_path, Isolated(requirements=wanted, python="2.4"))
    with pytest.raises(UnavailableError, match=r"no Python 2\.4 on the path"):
        environments.python_of("one")


@pytest.mark.slow
def test_an_environment_is_made_once_and_sees_nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = tmp_path / "none.txt"
    wanted.write_text("# nothing\n")
    isolate(monkeypatch, tmp_path, Isolated(requirements=wanted))
    python = environments.python_of("one")
    assert Path(python).is_relative_to(tmp_path)
    with pytest.raises(UnavailableError, match="not installed"):
        environments.versions(python, ["s3dlio-core"])
    made = Path(python).stat().st_ino
    environments.python_of.cache_clear()
    assert Path(environments.python_of("one")).stat().st_ino == made


@pytest.mark.slow
def test_requirements_that_cannot_be_installed_leave_a_client_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = tmp_path / "wrong.txt"
    wanted.write_text("not a requirement !\n")
    isolate(monkeypatch, tmp_path, Isolated(requirements=wanted))
    with pytest.raises(UnavailableError, match=r"wrong\.txt could not be installed"):
        environments.python_of("one")


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path, wanted: Isolated) -> None:
    """Let there be one environment, below a folder of the test's."""
    known: Mapping[str, Isolated] = {"one": wanted}
    monkeypatch.setattr(environments, "ISOLATED", known)
    monkeypatch.setattr(environments, "_CACHE", folder)
    environments.python_of.cache_clear()
