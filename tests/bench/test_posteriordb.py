"""Posteriors of posteriordb: read from a clone, made small here; against the real draws where there is one.

``POSTERIORDB=FOLDER pytest -m slow tests/bench/test_posteriordb.py``, FOLDER being a clone of
github.com/stan-dev/posteriordb.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Cauchy, Normal

from phys_bench.data.files import DataUnavailable
from phys_bench.data.posteriordb import posterior
from phys_samplers.density import FlatDensity
from phys_samplers.diagnostics import ess
from phys_samplers.errors import ConfigurationError
from phys_samplers.judging.p_values import stein_p_value

NAME = "eight_schools-eight_schools_noncentered"
SCHOOLS = {"J": 2, "y": [28, 8], "sigma": [15, 10]}


def zipped(path: Path, content: Any, *, files: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for index in range(files):
            file.writestr(f"{index}.json", json.dumps(content))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Two schools, two chains of three draws."""
    root = tmp_path / "posterior_database"
    (root / "posteriors").mkdir(parents=True)
    told = {"model_name": "eight_schools_noncentered", "data_name": "two", "reference_posterior_name": NAME}
    (root / "posteriors" / f"{NAME}.json").write_text(json.dumps(told))
    (root / "posteriors" / "two-other.json").write_text(json.dumps({**told, "model_name": "eight_school_noncentred"}))
    zipped(root / "data" / "data" / "two.json.zip", SCHOOLS)
    chain = {"theta[1]": [1.0, 2.0, 3.0], "theta[2]": [4.0, 5.0, 6.0], "mu": [0.5, 0.6, 0.7], "tau": [1.0, 2.0, 3.0]}
    later = {name: [10 + value for value in values] for name, values in chain.items()}
    zipped(root / "reference_posteriors" / "draws" / "draws" / f"{NAME}.json.zip", [chain, later])
    return tmp_path


def test_draws_and_density_have_the_parameters_in_one_order(clone: Path) -> None:
    target = posterior(clone, NAME)
    assert target.heldout is not None
    assert target.heldout.shape == (6, 4)
    assert target.heldout[0].tolist() == pytest.approx([1.0, 4.0, 0.5, 1.0])
    assert target.heldout[3].tolist() == pytest.approx([11.0, 14.0, 10.5, 11.0])
    theta, mu, tau = torch.tensor([3.0, -2.0]), torch.tensor(1.5), torch.tensor(2.5)
    by_hand = Normal(mu, tau).log_prob(theta).sum() + Normal(0.0, 5.0).log_prob(mu) + Cauchy(0.0, 5.0).log_prob(tau)
    by_hand += Normal(theta, torch.tensor([15.0, 10.0])).log_prob(torch.tensor([28.0, 8.0])).sum()
    x = torch.cat([theta, mu[None], tau[None]]).unsqueeze(0)
    assert float(target.log_prob(x)) == pytest.approx(float(by_hand) + math.log(5 * math.pi), rel=1e-5)
    assert FlatDensity(target).reduce(x)[0, 3] == pytest.approx(math.log(2.5))  # τ is positive: its logarithm moves


def test_what_is_not_there_or_not_written_is_said(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="expected a clone of posteriordb"):
        posterior(tmp_path / "nowhere", NAME)
    with pytest.raises(ConfigurationError, match=r"is not written in torch.*eight_schools_noncentered"):
        posterior(clone, "two-other")
    zipped(clone / "posterior_database" / "data" / "data" / "two.json.zip", SCHOOLS, files=2)
    with pytest.raises(DataUnavailable, match=r"two.json.zip cannot be read"):
        posterior(clone, NAME)


@pytest.mark.parametrize("field", ["data_name", "reference_posterior_name", "model_name"])
@pytest.mark.parametrize("value", ["../../secret", "/etc/passwd", "", 3, None])
def test_no_file_of_the_clone_leads_out_of_it(clone: Path, field: str, value: Any) -> None:
    path = clone / "posterior_database" / "posteriors" / f"{NAME}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(DataUnavailable, match=field):
        posterior(clone, NAME)
    with pytest.raises(ConfigurationError, match="is no name of one"):
        posterior(clone, f"../{NAME}")


@pytest.mark.parametrize("content", [[], [3], [{"mu": [1.0]}], {"theta[1]": "x"}])
def test_draws_of_another_form_are_named(clone: Path, content: Any) -> None:
    draws = clone / "posterior_database" / "reference_posteriors" / "draws" / "draws" / f"{NAME}.json.zip"
    zipped(draws, content)
    with pytest.raises(DataUnavailable, match="not as posteriordb has them"):
        posterior(clone, NAME)


@pytest.mark.slow
@pytest.mark.skipif("POSTERIORDB" not in os.environ, reason="POSTERIORDB names no clone of posteriordb")
@pytest.mark.parametrize(
    "name", [NAME, "kidiq-kidscore_momiq", "kidiq-kidscore_momhs", "earnings-earn_height", "sblri-blr", "sblrc-blr"]
)
def test_the_draws_of_stan_satisfy_the_identities_of_the_density_written_here(name: str) -> None:
    """Stein's, in coordinates without borders; p above 1e-3 for six posteriors: a false alarm in 160 clones."""
    target = posterior(os.environ["POSTERIORDB"], name)
    assert target.heldout is not None
    density, chains = FlatDensity(target), target.heldout.double().view(10, -1, target.dim).transpose(0, 1)
    z = density.reduce(target.heldout.double())
    score = density.log_prob_and_score(z)[1]
    assert stein_p_value(z, score, effective=float(ess(chains).min())) > 1e-3
    wrong = density.reduce(target.heldout.double() * 1.1)
    assert stein_p_value(wrong, density.log_prob_and_score(wrong)[1], effective=float(ess(chains).min())) < 1e-3
