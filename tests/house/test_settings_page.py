"""The table of `docs/settings.md` is the settings: names, variables, defaults and least values."""

import ast
import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

import pytest

from s3dlio import config
from tests.house.repository import ROOT

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
LITERAL = re.compile(r"`([^`]+)`(?: \((\d+) ([KMG]iB)\))?")
SETTINGS: dict[str, Field[Any]] = {each.name: each for each in fields(config.Settings)}
VARIABLES: Mapping[str, tuple[tuple[str, ...], Any]] = config._VARIABLES  # pyright: ignore[reportPrivateUsage]  # the table is compared with exactly this


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, cell by cell."""

    variables: tuple[str, ...]
    default: str
    unit: str
    least: str
    meaning: str


def rows() -> dict[str, Row]:
    """Return the table by keyword."""
    found: dict[str, Row] = {}
    for line in (ROOT / "docs/settings.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            keyword, variables, *rest = [cell.strip() for cell in line.strip("|").split(" |")]
            found[keyword.strip("`")] = Row(tuple(re.findall("`([^`]+)`", variables)), *rest)
    return found


def value(cell: str) -> object:
    """Return the value that a cell states, and hold the amount in brackets to it."""
    match = LITERAL.fullmatch(cell)
    assert match is not None, cell
    stated = ast.literal_eval(match[1])
    if match[2]:
        assert stated == int(match[2]) * UNITS[match[3]]
    return stated


each_setting = pytest.mark.parametrize("name", SETTINGS)
each_constant = pytest.mark.parametrize(
    "name", [name for name, field in SETTINGS.items() if field.default is not MISSING]
)
each_least = pytest.mark.parametrize("name", [name for name, row in rows().items() if row.least])


def test_the_table_names_every_setting_in_the_order_of_the_code() -> None:
    assert list(rows()) == list(SETTINGS)


@each_setting
def test_the_variables_of_a_setting_are_the_ones_that_are_read(name: str) -> None:
    variables, _ = VARIABLES.get(name, ((), None))
    assert rows()[name].variables == variables


@each_setting
def test_every_setting_has_a_meaning(name: str) -> None:
    assert len(rows()[name].meaning) > 10


@each_constant
def test_a_default_is_the_one_in_the_code(name: str) -> None:
    default = SETTINGS[name].default
    assert value(rows()[name].default) == default
    assert type(value(rows()[name].default)) is type(default)


@pytest.mark.parametrize("cpus", [1, 3, 64])
def test_the_default_of_the_threads_follows_the_cpus(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    stated = re.fullmatch(r"(\d+) for each CPU, at most (\d+)", rows()["worker_threads"].default)
    assert stated is not None
    assert config.Settings().worker_threads == min(int(stated[1]) * cpus, int(stated[2]))


@pytest.mark.parametrize("memory", [1 << 30, 64 << 30])
def test_the_default_of_the_bytes_in_flight_follows_the_memory(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": memory // 4096}.__getitem__)
    stated = re.fullmatch(r"a quarter of the memory, at most (\d+) GiB", rows()["max_in_flight_bytes"].default)
    assert stated is not None
    assert config.Settings().max_in_flight_bytes == min(memory // 4, int(stated[1]) << 30)


@each_least
def test_the_least_value_is_taken_and_a_smaller_one_is_not(name: str) -> None:
    least = value(rows()[name].least)
    assert isinstance(least, int | float)
    for variable in rows()[name].variables:
        assert getattr(config.from_environment({variable: str(least)}), name) == least
        with pytest.raises(ValueError, match=variable):
            config.from_environment({variable: str(least - (1 if isinstance(least, int) else least / 2))})


@pytest.mark.parametrize("name", VARIABLES)
def test_every_number_from_the_environment_states_its_least_value(name: str) -> None:
    default = getattr(config.Settings(), name)
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    assert bool(rows()[name].least) == is_number
