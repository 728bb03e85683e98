"""docs/conformance.toml names modules and tests that exist, in order, and every parameter type."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

from hipgw.wire import ParameterType

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads((ROOT / "docs/conformance.toml").read_text())
CLAUSES = [(clause, modules, tests) for clause, _, modules, tests in TABLE["clauses"]]
PARAMETERS = [(name, tests) for name, _, tests in TABLE["parameters"]]


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def assert_tests_exist(tests: list[str]) -> None:
    assert tests
    for test in tests:
        file, name = test.split("::")
        assert name.startswith("test_"), test
        assert name in functions(file), test


@pytest.mark.parametrize(("clause", "modules", "tests"), CLAUSES)
def test_modules_and_tests_of_a_clause_exist(
    clause: str, modules: list[str], tests: list[str]
) -> None:
    rfc, _ = clause.split(" ", 1)
    assert rfc.isdigit()
    assert modules
    for module in modules:
        assert (ROOT / "hipgw" / module).is_file(), module
    assert_tests_exist(tests)


@pytest.mark.parametrize(("name", "tests"), PARAMETERS)
def test_tests_of_a_parameter_exist(name: str, tests: list[str]) -> None:
    assert name in ParameterType.__members__
    assert_tests_exist(tests)


def test_no_row_stands_twice() -> None:
    rows = [tuple(row[:2]) for row in TABLE["clauses"]]
    assert len(set(rows)) == len(rows)
    names = [name for name, _ in PARAMETERS]
    assert len(set(names)) == len(names)
