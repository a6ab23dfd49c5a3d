"""Verdicts on both tables of the thesis and on equations that are not in them; and what is refused as a relation."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from phys_genphys.classify import classify
from phys_genphys.equations import EQUATIONS, OTHERS, TABLE_1, TABLE_2
from phys_genphys.relation import read
from phys_samplers import make, names
from phys_samplers.cli import program
from phys_samplers.errors import ConfigurationError

EXPECTED = {
    "diffusion": ("yes", "kernel is positive"),
    "Poisson": ("yes", "kernel is positive"),
    "ideal wave": ("no", "no wave fades"),
    "dissipative wave": ("conditional", "a front or an atom stays until t ≫ 1"),
    "Helmholtz": ("conditional", "waves of k ≤ 0.989 do not fade"),
    "screened Poisson (Yukawa)": ("yes", "kernel is positive"),
    "Schroedinger (free)": ("no", "no wave fades"),
    "mixed diffusion Poisson": ("yes", "kernel is positive"),
    "fractional diffusion, beta <= 1": ("yes", "kernel is positive"),
    "fractional diffusion, beta > 1": ("no", "its kernel is negative"),
    "third-order diffusion": ("yes", "kernel is positive"),
    "elasticity (biharmonic)": ("no", "its kernel is negative"),
    "backward heat": ("no", "outgrow the mass"),
    "Klein-Gordon": ("no", "no wave fades"),
    "Airy (linear KdV)": ("no", "no wave fades"),
    "beam (Euler-Bernoulli)": ("no", "no wave fades"),
    "reaction-diffusion, growing": ("yes", "kernel is positive"),
    "drift-diffusion in one dimension": ("conditional", "on the line only"),
    "Swift-Hohenberg, linear": ("no", "waves of k = 0.997 outgrow the mass"),
    "Kuramoto-Sivashinsky, linear": ("no", "waves of k = 0.706 outgrow the mass"),
    "Cahn-Hilliard, linear, one phase": ("conditional", "its kernel is negative"),
    "viscoelastic wave (Kelvin-Voigt)": ("conditional", "a front or an atom stays"),
    "jumps (compound Poisson)": ("conditional", "a front or an atom stays"),
    "relativistic heat": ("yes", "kernel is positive"),
    "biwave of Poisson": ("yes", "kernel is positive"),
}
CONTRADICTED = {"fractional diffusion, beta > 1", "elasticity (biharmonic)"}


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda one: one.name)
def test_every_row_has_its_verdict_and_its_reason(equation) -> None:
    found = equation.classify()
    verdict, reason = EXPECTED[equation.name]
    assert found.verdict == verdict
    assert any(reason in told for told in found.branches[0].reasons), found.branches[0].reasons
    for branch in found.branches:  # yes is said of kernels that were made
        assert (branch.verdict == "yes") == (branch.density == "yes" and "is positive" in branch.reasons[1])
    if equation.printed is not None:
        assert (found.verdict == equation.printed) != (equation.name in CONTRADICTED)


def test_the_rows_are_those_of_the_tables() -> None:
    assert (len(TABLE_1), len({one.name.partition(",")[0] for one in TABLE_2})) == (7, 4)
    assert len(OTHERS) >= 10
    assert EXPECTED.keys() == {one.name for one in EQUATIONS}


def test_strictly_read_the_criterion_takes_the_wave_and_refuses_helmholtz() -> None:
    """Eq. 9.8 alone: the dissipative wave for every ε, Helmholtz for no k₀; the verdicts say more than it."""
    for epsilon in (0.01, 1.0, 100.0):
        wave = classify("dt**2 + 2*eps*dt - lap", eps=epsilon).branches[0]
        assert (wave.smooth, wave.fading, wave.verdict) == ("yes", False, "conditional")
    for k0 in (0.01, 1.0, 100.0):
        assert classify("dt**2 + lap + k0**2", k0=k0).branches[0].smooth == "conditional"


def in_other_units(text: str, length: float, time: float) -> str:
    """The relation with k in units of 1/length and ω of 1/time."""
    for name, factor in (("k", length), ("lap", length**2), ("w", time), ("dt", time)):
        text = re.sub(rf"\b{name}\b", f"({name}*{factor!r})", text)
    return text


FEW = {
    "screened Poisson (Yukawa)",
    "dissipative wave",
    "Helmholtz",
    "elasticity (biharmonic)",
    "drift-diffusion in one dimension",
}


@pytest.mark.parametrize(
    "equation",
    [pytest.param(one, marks=() if one.name in FEW else pytest.mark.slow) for one in EQUATIONS],
    ids=lambda one: one.name,
)
def test_units_do_not_change_a_verdict(equation) -> None:
    wanted = [replace(branch, omega_0=0j, mass="", reasons=()) for branch in equation.classify().branches]
    for length, time in ((1e8, 3.7e-8), (1e-8, 2.2e8)):
        found = classify(in_other_units(equation.relation, length, time), **equation.parameters)
        assert [replace(branch, omega_0=0j, mass="", reasons=()) for branch in found.branches] == wanted


@pytest.mark.parametrize(
    ("text", "scales"),
    [
        ("dt - lap", None),
        ("dt**2 + lap + 1e-6**2", (1e-6, 1e-6)),
        ("dt**2 + 2*1e6*dt - lap", (1e6, 1e6)),
        ("w = -I*(sqrt(1 + k**2) - 1)", (1, 1)),
        pytest.param("w = -I*(k**2/(1 + k**2) + 1e-9*k**2)", (1, 3e4), marks=pytest.mark.slow),
        ("w = -I*(1 - cos(k))", (1, 1)),
    ],
)
def test_the_wave_numbers_of_a_relation_are_found(text: str, scales) -> None:
    """Each lies between the ends found, which are no more than a decade and a half beyond."""
    found = classify(text)
    if scales is None:
        assert found.scales is None
        return
    (low, high), (least, greatest) = scales, found.scales
    assert low / 31 < least < 2 * low
    assert 0.5 * high < greatest < 31 * high
    assert found.asked[0] < 1e-3 * least
    assert found.asked[1] > 1e3 * greatest


@pytest.mark.parametrize(
    ("text", "mass"),
    [
        ("w = -I/k", "gone at once"),
        ("w = I/k", "infinite"),
        ("w = 1/k", "no phase"),
        ("w = -I*k**2 - I/k", "gone at once"),
        ("w = -I*k**2 + 1/k", "no phase"),
        ("w = -I*log(k)", "infinite"),
        ("k*w + I = 0", "gone at once"),
    ],
)
def test_a_pole_at_zero_leaves_no_mass(text: str, mass: str) -> None:
    found = classify(text).branches[0]
    assert (found.verdict, mass in found.mass) == ("no", True)
    assert "no value at k = 0" in found.reasons[0]
    assert found.to_dict()["omega_0"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_what_is_undefined_at_zero_and_has_a_limit_is_no_pole() -> None:
    for text in ("k*w + I*k**3 = 0", "w = -I*k**3/k", "w = -I*k*sin(k)/k*k*exp(k**2)/sin(k)"):
        found = classify(text).branches[0]
        assert (found.omega_0, found.mass, found.smooth) == (0, "constant", "yes")
    screened = classify("k*w**2 + k*(k**2 + 1) = 0").branches[0]
    assert (screened.verdict, screened.omega_0) == ("yes", pytest.approx(-1j))
    one_of_two = classify("k**2*w**2 + w + I*k**2 = 0")
    assert [np.isfinite(branch.omega_0) for branch in one_of_two.branches] == [True, False]


@pytest.mark.parametrize(
    ("beta", "verdict"), [(0.1, "yes"), pytest.param(0.02, "yes", marks=pytest.mark.slow), (1.001, "no")]
)
def test_eq_9_8_holds_for_every_beta_and_the_kernel_decides(beta: float, verdict: str) -> None:
    found = classify("dt + (-lap)**b", b=beta).branches[0]
    assert (found.smooth, found.fading, found.density, found.verdict) == ("yes", True, verdict, verdict)
    assert ("Eq. 9.8 holds, which is not enough" in found.reasons[-1]) == (verdict == "no")


def test_without_a_kernel_the_criterion_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phys_genphys.kernels._least", lambda *arguments: [(math.nan, 1)])
    found = classify("dt - lap")
    assert (found.branches[0].smooth, found.branches[0].density, found.verdict) == ("yes", "unchecked", "unchecked")
    assert "could not be made" in found.branches[0].reasons[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "text", ["w = -I*k**2*exp(-k)", "w = -I*sin(k)**2/k", "w = -I*k/(1 + k**4)", "w = -I*(1 - cos(k))"]
)
def test_short_waves_that_do_not_fade_are_none(text: str) -> None:
    found = classify(text).branches[0]
    assert (found.verdict, found.smooth) == ("no", "no")
    assert "short waves do not fade" in found.reasons[0]


def test_what_oscillates_and_fades_is_told_so() -> None:
    found = classify("w = -I*k**2*(1 + 0.9*sin(k))").branches[0]
    assert (found.verdict, "oscillates" in found.reasons[0]) == ("conditional", True)


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        ("(dt - lap)**3", "yes", "kernel is positive"),
        ("(dt + 1)**2 - lap**2", "yes", "kernel is positive"),
        ("(dt + lap**2)**2", "no", "kernel is negative"),
        ("(dt**2 - lap)**2", "no", "no wave fades"),
        ("(dt + 0.7)**2 - lap", "no", "no wave fades"),
    ],
)
def test_equal_roots_have_the_verdict_of_one(text: str, verdict: str, reason: str) -> None:
    """Roots that coincide, everywhere or at k = 0 only, are off by more than rounding: by its root."""
    found = classify(text)
    told = " ".join(found.branches[0].reasons)
    assert (found.verdict, reason in told) == (verdict, True)
    assert verdict == "no" or "roots coincide" in told


@pytest.mark.parametrize("text", ["w = 2 - I*k**2", "(dt - lap)**2 + 4"])
def test_a_mass_that_turns_is_a_density_for_a_while(text: str) -> None:
    """cos(2t) times a heat kernel, negative from t = π/4 on."""
    found = classify(text).branches[0]
    assert (found.verdict, found.density) == ("conditional", "yes")
    assert any("negative after t = 0.785" in told for told in found.reasons)


def test_what_is_meant_by_other_signs_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"powers with \*\*, as k\*\*2"):
        classify("w = -I*k^2")
    with pytest.raises(ConfigurationError, match=r"invalid decimal literal\); write products with \*"):
        classify("w = 2k")


def test_names_are_normalised_as_python_does() -> None:
    assert classify("dt - \N{MICRO SIGN}*lap", **{"\N{MICRO SIGN}": 2.0}).verdict == "yes"


def test_branches_are_told_apart() -> None:
    found = classify("dt**2 + lap - m**2", m=0.7)
    assert [branch.verdict for branch in found.branches] == ["yes", "no"]
    assert [branch.omega_0 for branch in found.branches] == pytest.approx([-0.7j, 0.7j])
    assert "die" in found.branches[0].mass
    third = classify("dt**3 - lap")
    assert [branch.verdict for branch in third.branches] == ["yes", "no", "no"]


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("w = -I*k**2", lambda k: -1j * k**2),
        ("-I*k, I*k", lambda k: np.stack((-1j * k, 1j * k))),
        ("w = k, -k", lambda k: np.stack((k, -k))),
        ("w**2 + k**2 = 0", lambda k: np.stack((-1j * k, 1j * k))),
        ("w = -2*I*k**2/(sqrt(1 + 4*k**2) + 1)", lambda k: -1j * (np.sqrt(1 + 4 * k**2) - 1) / 2),
    ],
)
def test_functions_and_texts_agree(text: str, function) -> None:
    written, computed = classify(text), classify(function)
    assert [b.verdict for b in written.branches] == [b.verdict for b in computed.branches]


@pytest.mark.parametrize("name", names("pde"))
def test_the_equations_of_the_sampler_fade_as_their_transforms_say(name: str) -> None:
    """|e^{−iωt}| of the best branch of ``relation`` is p̂ of the component, and its mass is p̂(0)."""
    pde = make("pde", name)
    t = 1e-3 if name == "dissipative-wave" else 0.7
    relation = read(pde.relation)
    assert classify(pde.relation).verdict == {"helmholtz": "conditional", "dissipative-wave": "conditional"}.get(
        name, "yes"
    )
    for k in (0.4, 1.3, 6.0):
        roots = relation.roots(np.array([k]))[:, 0]
        root = roots[roots.imag.argmax() if name == "dissipative-wave" else roots.imag.argmin()]
        wanted = float(pde.transform(torch.tensor([k], dtype=torch.float64), torch.tensor([t], dtype=torch.float64)))
        if (
            name == "dissipative-wave"
        ):  # both branches of an initial value problem: slow one's share, ½ (1 + ε/Ω) e^{−iωt}
            omega = math.sqrt(pde.epsilon**2 - k**2)
            fast = roots[roots.imag.argmin()]
            found = 0.5 * (1 + pde.epsilon / omega) * np.exp(root.imag * t)
            found += 0.5 * (1 - pde.epsilon / omega) * np.exp(fast.imag * t)
        else:
            found = np.exp(root.imag * t)
        assert found == pytest.approx(wanted, rel=1e-8)


HOSTILE = [
    "__import__('os').system('true')",
    "w = (lambda: 1)()",
    "w = k.__class__",
    "w = [k for k in (1, 2)][0]",
    "w = open('x')",
    "w = k if k else 1",
    "w = f'{k}'",
    "w = 'k'",
    "w = eval('1')",
    "w = sqrt.__globals__",
    "w = sqrt(k, 2)",
    "w = sqrt(x=k)",
    "w := k",
    "w = k; import os",
    "w = True",
    "w = k and k",
    "w = k // 2",
    "w = k @ k",
    "w = 1 < k",
    "w = unknown*k",
    "w = 1/w = k",
    "",
    "=",
    "w = ",
    "k",
    "w = 9**9**9**9*k",
    "w**7 = k",
    "(w + 1)**100 = k",
    "k = 1",
    "1/w = k",
    "sqrt(w) = k",
    "2**w = k",
    "w = log(0*k)",
    "w = " + "+".join(["k"] * 180),
    "w = " + "(" * 100 + "k" + ")" * 100 + "+" * 300,
    "w = " + "-" * 60 + "k",
    "\0w = k",
    "w = 1" + "0" * 380,
    "w = ()",
    "()",
    "lap - 1",
    "0*dt - lap",
    "w - w + k",
]


@pytest.mark.parametrize("text", [text for text in HOSTILE if text != "k"], ids=range(len(HOSTILE) - 1))
def test_what_is_not_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        classify(text)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"m": math.nan}, "finite number"),
        ({"k": 1.0}, "taken"),
        ({"1x": 1.0}, "no name"),
        ({"m": "1"}, "finite number"),
        ({"m": 10**400}, "finite number"),
    ],
)
def test_bad_parameters_are_refused(parameters, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        classify("dt - lap", **parameters)


def test_a_parameter_may_have_the_name_of_an_argument() -> None:
    assert classify("dt - relation*lap", relation=2.0).verdict == "yes"


def test_a_function_with_bad_values_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="shape"):
        classify(lambda k: np.zeros(3))
    with pytest.raises(ConfigurationError, match="no finite value"):
        classify(lambda k: np.where(k > 1, np.nan, -1j * k))
    for given, told in ((None, "NoneType"), ("no", "str"), ([], "list"), (np.zeros((0, 3)), "ndarray")):
        with pytest.raises(ConfigurationError, match=f"gave a {told}.*expected"):
            classify(lambda k, given=given: given)
    with pytest.raises(ConfigurationError, match="by a closure"):
        classify(lambda k: -1j * k, m=1.0)


@pytest.mark.parametrize("relation", [None, 3, 1.5, b"dt - lap", ["dt - lap"], np.zeros(3)])
def test_what_is_no_text_and_no_function_is_refused(relation) -> None:
    with pytest.raises(ConfigurationError, match=f"is a {type(relation).__name__}; expected a text"):
        classify(relation)


def test_the_command_line() -> None:
    run = CliRunner().invoke
    done = run(program, ["genphys", "classify", "w**2 + 2*I*eps*w - k**2 = 0", "--set", "eps=2", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["verdict"], len(found["branches"])) == ("conditional", 2)
    shown = run(program, ["genphys", "classify", "dt - lap"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "every wave fades faster than the mass" in shown.output
    minus = run(program, ["genphys", "classify", "-I*k**2", "--json"])
    assert json.loads(minus.output)["verdict"] == "yes"
    for words, told in (
        (["x*k"], "--set x=1"),
        (["w = -i*k**2"], "write I"),
        (["dt - lap", "--set", "m"], "NAME=VALUE"),
        (["dt - lap", "--set", "m=x"], "NAME=VALUE"),
        (["dt - lap", "--set", "m=1"], "has no m"),
        (["dt - m*lap", "--set", "m=1", "--set", "m=2"], "more than once"),
        (["dt - lap", "--jsn"], "--jsn"),
    ):
        refused = run(program, ["genphys", "classify", *words])
        assert refused.exit_code == 2, refused.output
        assert told in refused.output
    assert "genphys" in run(program, ["--help"]).output


@pytest.mark.slow
def test_the_tables_on_the_command_line() -> None:
    rows = json.loads(CliRunner().invoke(program, ["genphys", "tables", "--json"]).output)
    assert {row["equation"]: row["verdict"] for row in rows} == {
        name: verdict for name, (verdict, _) in EXPECTED.items()
    }
