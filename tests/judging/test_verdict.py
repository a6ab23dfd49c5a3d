"""The rules, on evidence made by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers import Density, judge
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.judging.evidence import Evidence
from phys_samplers.judging.verdict import Judgement, weigh
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples


def run(name: str, *, shift: float = 0.0, **facts: Any) -> Evidence:
    """A sampler that drew 1,000 rows of N(shift, 1)."""
    z = torch.randn(1_000, 2, generator=make_generator(0, "run", name)) + shift
    return Evidence(**{"sampler": name, "samples": z, "z": z, "effective": 1_000.0, "gradients": 50.0, **facts})


def verdicts(judgement: Judgement) -> dict[str, str]:
    return {opinion.evidence.sampler: opinion.verdict for opinion in judgement.opinions}


def test_agreement_with_a_certified_reference_is_trusted_and_the_cheapest_recommended() -> None:
    found = weigh([run("smc", log_z=1.0, log_z_std=0.1), run("hmc", gradients=20.0)], target="t", seed=0)
    assert verdicts(found) == {"smc": "trust", "hmc": "trust"}
    assert (found.reference, found.recommended) == ("smc", "hmc")
    assert found.log_z == (1.0, 0.1)
    assert found.samples is found.opinions[1].evidence.samples


def test_a_significantly_lower_log_z_misses_mass() -> None:
    found = weigh(
        [
            run("smc", log_z=1.0, log_z_std=0.1),
            run("vgs", log_z=0.2, log_z_std=0.05),
            run("ais", log_z=0.5, log_z_std=0.3),
        ],
        target="t",
        seed=0,
    )
    assert verdicts(found) == {"smc": "trust", "vgs": "misses mass", "ais": "trust"}


def test_chains_in_the_wrong_place_differ() -> None:
    found = weigh([run("smc", log_z=1.0, log_z_std=0.1), run("hmc", shift=1.0)], target="t", seed=0)
    assert verdicts(found)["hmc"] == "differs"
    assert found.opinions[1].agreement is not None
    assert found.opinions[1].agreement < 1e-3


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"stein": 1e-6}, "biased"),
        ({"rhat": 1.3}, "not mixed"),
        ({"log_z": 1.0, "log_z_std": 0.1, "effective": 30.0}, "too few draws"),
    ],
)
def test_what_is_held_against_one_sampler_alone(facts: dict[str, Any], verdict: str) -> None:
    found = weigh([run("smc", log_z=1.0, log_z_std=0.1), run("other", **facts)], target="t", seed=0)
    assert verdicts(found)["other"] == verdict


def test_without_an_estimate_of_log_z_nothing_is_trusted() -> None:
    found = weigh([run("mala"), run("hmc"), Evidence(sampler="vgs", error="lost")], target="t", seed=0)
    assert verdicts(found) == {"mala": "unresolved", "hmc": "unresolved", "vgs": "failed"}
    assert (found.recommended, found.samples, found.log_z) == ("", None, None)
    assert found.summary.startswith("None yet")


def test_names_reach_no_terminal_as_they_are_and_print_has_no_codes() -> None:
    found = weigh([run("\x1b[2Jsmc", log_z=1.0, log_z_std=0.1)], target="t\x1b[31m", seed=0)
    assert "\x1b" not in str(found)
    assert "\x1b[2J" not in found.table()
    assert "\\x1b[2Jsmc" in found.table()


def test_the_table_fits_a_terminal() -> None:
    found = weigh(
        [run("smc", log_z=1.0, log_z_std=0.1), Evidence(sampler="vgs", error="lost " * 40)], target="t", seed=0
    )
    lines = found.table(width=80).splitlines()
    assert max(len(line) for line in lines if not line.startswith(("log Z", "Take"))) <= 80
    assert "Take smc" in lines[-1]


def test_bad_input_is_refused() -> None:
    target = Density(lambda x: -x.square().sum(1), (2,))
    with pytest.raises(ConfigurationError, match="at least 200"):
        judge(target, ["mala"], n=10)
    with pytest.raises(ConfigurationError, match="scale"):
        judge(target, ["mala"], scale=-1.0)
    with pytest.raises(ConfigurationError, match="samplers is empty"):
        judge(target, [])
    with pytest.raises(MissingCapability, match="judge needs log_prob"):
        judge(Samples(torch.randn(20, 2, generator=make_generator(0))), ["mala"])


def test_only_an_unbiased_estimate_sets_a_floor() -> None:
    """A bridge ratio that is too high, with an error too small, does not veto right answers."""
    bridge = run("parallel-tempering", log_z=2.0, log_z_std=0.01, unbiased=False)
    found = weigh([run("smc", log_z=0.0, log_z_std=0.05), bridge], target="t", seed=0)
    assert verdicts(found) == {"smc": "trust", "parallel-tempering": "trust"}
    assert (found.reference, found.log_z) == ("smc", (0.0, 0.05))


def test_a_run_worth_one_draw_sets_no_floor() -> None:
    poor = run("smc", log_z=60.0, log_z_std=1.0, effective=1.0)
    found = weigh([poor, run("ais", log_z=0.0, log_z_std=0.05)], target="t", seed=0)
    assert verdicts(found) == {"smc": "too few draws", "ais": "trust"}


def test_weights_with_a_heavy_tail_are_not_trusted() -> None:
    found = weigh([run("ais", log_z=0.0, log_z_std=0.05, pareto=0.9)], target="t", seed=0)
    assert verdicts(found) == {"ais": "heavy weights"}
    assert found.summary.startswith("None yet: of 1 samplers")
    assert "scale=" in found.summary


def test_evidence_of_a_rejected_run_counts_against_the_reference() -> None:
    """Nine samples of chains that did not mix sit where the density is as high, far from all of the reference's."""

    def heights(z: Tensor) -> Tensor:
        return -0.5 * torch.minimum(z.square().sum(1), (z - 15).square().sum(1))

    smc = run("smc", log_z=-2.3, log_z_std=0.001)
    strayed = run("parallel-tempering", rhat=1.5)
    assert strayed.z is not None
    strayed.z[:9] += 15
    evidence = [replace(r, log_prob=heights(r.z)) for r in (smc, strayed) if r.z is not None]
    found = weigh(evidence, target="t", seed=0)
    assert verdicts(found)["smc"] == "misses mass"
    assert "samples of parallel-tempering lie far from all of its own" in found.opinions[0].why
    assert found.recommended == ""
    strayed.z[:9] -= 15
    evidence = [replace(r, log_prob=heights(r.z)) for r in (smc, strayed) if r.z is not None]
    assert weigh(evidence, target="t", seed=0).recommended == "smc"


def test_far_higher_density_that_somebody_met_counts_against_the_reference() -> None:
    """A narrow part within a wide one: no distance shows it, and the tail of the other's log p does."""
    smc, ais = run("smc", log_z=-0.7, log_z_std=0.01), run("ais", log_z=0.1, log_z_std=0.5, effective=3.0)
    assert smc.z is not None
    assert ais.z is not None
    heights = [-0.5 * r.z.square().sum(1) for r in (smc, ais) if r.z is not None]
    evidence = [replace(r, log_prob=h) for r, h in zip((smc, ais), heights, strict=True)]
    assert weigh(evidence, target="t", seed=0).recommended == "smc"
    heights[1][:3] = 8.0
    found = weigh([evidence[0], replace(ais, log_prob=heights[1])], target="t", seed=0)
    assert verdicts(found)["smc"] == "misses mass"
    assert "far higher than it ever met" in found.opinions[0].why


def test_errors_of_weights_without_variance_are_widened() -> None:
    found = weigh([run("ais", log_z=1.0, log_z_std=0.1, pareto=0.6)], target="t", seed=0)
    assert found.log_z == pytest.approx((1.0, 0.3))


def test_half_of_the_time_is_kept_for_those_that_anneal_where_they_settle_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = itertools.count(0.0, 1.25)
    monkeypatch.setattr("phys_samplers.judging.running.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    lost = Evidence(sampler="", error="lost")
    monkeypatch.setattr("phys_samplers.judging.running.gather", lambda text, *_, **__: replace(lost, sampler=text))
    found = judge(Density(lambda x: -x.square().sum(1), (2,)), ["smc", "ais", "mala"], n=200, seconds=4)
    assert [opinion.why for opinion in found.opinions][:2] == ["lost", "lost"]
    assert found.opinions[2].why.startswith("not run: half of 4 s were over")
    assert found.summary.endswith("All of 4 s were over: give more (seconds=).")
