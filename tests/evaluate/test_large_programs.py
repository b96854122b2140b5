"""Programs that are long, wide or deep: what CPython's compiler refuses must never be asked of it."""

from __future__ import annotations

import os

import pytest
from evaluate_cases import evaluator

from kiln.lang.report import CompileError


def nested_ifs(depth: int) -> str:
    text = "0"
    for level in range(depth):
        text = f"1 + (if n == {level} then {level} else {text})"
    return f"fn f(n: Int) -> Int = {text};\nlet x = f(-1);"


def nested_comprehensions(depth: int) -> str:
    names = [f"v{level}" for level in range(depth)]
    clauses = " ".join(
        f"for {name} in [{level}, 7]" if level == 0 else f"for {name} in [{level}]"
        for level, name in enumerate(names)
    )
    return f"let x = length([{' + '.join(names)} {clauses}]);"


def nested_lists(depth: int) -> str:
    text = "1"
    for level in range(depth):
        text = f"length([{text} for _{level} in [0]])".replace(f"_{level}", f"v{level}")
    return f"let x = {text};"


def nested_lambdas(depth: int) -> str:
    names = [f"a{level}" for level in range(depth)]
    body = " + ".join(names)
    for name in reversed(names):
        body = f"(fn({name}: Int) => {body})(1)"
    return f"let x = {body};"


def nested_matches(depth: int) -> str:
    text = "0"
    for level in range(depth):
        arms = f"Some(v{level}) if v{level} == {level} => {level}, Some(_) => 1 + ({text}), None => 0"
        text = f"match Some(n) {{ {arms} }}"
    return f"fn f(n: Int) -> Int = {text};\nlet x = f(-1);"


def else_ifs(begin: str, end: str) -> str:
    branches = " ".join(f"if n == {i} then {i} else" for i in range(1000))
    return f"fn f(n: Int) -> Int = {begin}{branches} -1{end};\nlet x = f(999) + f(1000);"


def many_arms() -> str:
    arms = " ".join(f"{i} => {i}," for i in range(1000))
    return f"fn f(n: Int) -> Int = match n {{ {arms} _ => -1 }};\nlet x = f(999) + f(1000);"


def many_lets() -> str:
    lets = "".join(f"let a{i} = {f'a{i - 1} + 1' if i else '0'};\n  " for i in range(3000))
    return f"let x = {lets}a2999;"


def many_parameters() -> str:
    params = ", ".join(f"p{i}: Int = {i}" for i in range(300))
    return f"fn f({params}) -> Int = p0 + p299;\nlet x = f() + f(p299 = 1);"


def chain_of_members(size: int) -> str:
    members = "".join(f"  m{i}: Int = self.m{i - 1} + 1;\n" for i in range(1, size + 1))
    return f"set S() {{\n  m0: Int = 0;\n{members}}}\nlet x = S().m{size};"


def chain_of_lets(size: int) -> str:
    lets = "".join(f"let v{i}: Int = v{i - 1} + 1;\n" for i in range(1, size + 1))
    return f"let v0: Int = 0;\n{lets}let x = v{size};"


CASES = {
    "sum of 3,000": ("let x = " + " + ".join(["1"] * 3000) + ";", 3000),
    "sum of 100,000": ("let x = " + " + ".join(["1"] * 100_000) + ";", 100_000),
    "join of 100,000": ('let x = size("a" ++ ' + " ++ ".join(['"b"'] * 99_999) + ");", 100_000),
    "product in brackets": ("let x = " + "(" * 150 + "1" + " * 1)" * 150 + ";", 1),
    "and of 2,000": ("fn t(n: Int) -> Bool = n > 0;\nlet x = " + " && ".join(["t(1)"] * 2000) + ";", True),
    "else if 1,000 times": (else_ifs("", ""), 998),
    "else if 1,000 times, not at the end": (else_ifs("let r = ", "; r"), 998),
    "match of 1,000 arms": (many_arms(), 998),
    "3,000 lets": (many_lets(), 2999),
    "list of 20,000": ("let x = length([" + ", ".join(map(str, range(20000))) + "]);", 20000),
    "string of 2,000 holes": ('let n = 1;\nlet x = size("' + "%{n}" * 2000 + '");', 2000),
    "record of 500 fields": ("let x = {" + ", ".join(f"f{i} = {i}" for i in range(500)) + "}.f499;", 499),
    "function of 300 parameters": (many_parameters(), 300),
    "ifs, 60 deep": (nested_ifs(60), 60),
    "matches, 60 deep": (nested_matches(60), 60),
    "comprehension of 90 loops": (nested_comprehensions(90), 2),
    "comprehensions, 60 deep": (nested_lists(60), 1),
    "lambdas, 60 deep": (nested_lambdas(60), 60),
    "2,000 members in a chain": (chain_of_members(2000), 2000),
    "20,000 lets in a chain": (chain_of_lets(20000), 20000),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_large_program(name: str, tmp_path: os.PathLike[str]) -> None:
    text, expected = CASES[name]
    program, module = evaluator(str(tmp_path), text)
    assert program.value(module, "x") == expected


@pytest.mark.parametrize("make", [nested_ifs, nested_matches, nested_lists, nested_lambdas])
def test_what_is_too_deep_is_refused_by_the_checker_or_works(make: object, tmp_path: os.PathLike[str]) -> None:
    text = make(400)  # type: ignore[operator]
    with open("deep.kiln", "w", encoding="utf-8") as file:
        file.write(text)
    from kiln.interpreter.modules import Loader

    try:
        Loader().load("deep.kiln")
    except CompileError as error:
        assert all(report.code.startswith(("K01", "K03")) for report in error.reports)
        return
    program, module = evaluator(str(tmp_path), text)
    assert program.value(module, "x") in (400, 1)
