"""Posteriors of posteriordb with their reference draws, from a clone of it; models are written here, not in Stan.

posteriordb (Magnusson et al. 2021, github.com/stan-dev/posteriordb) has data and 10,000 draws of long runs of Stan,
checked by its authors. Neither comes with this package: clone it, and say where. A few of its models are written in
torch; the others want Stan.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phys_bench.data.files import DataUnavailable
from phys_registry.errors import suggest
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.reading import parse_json, read_bytes, read_json
from phys_samplers.schema import table, text
from phys_samplers.target import Density, Target

LARGEST = 2**26
"""Bytes of a file once unpacked, at most."""
PLAIN = r"\w[\w.-]*"
TOLD = table(dict.fromkeys(("model_name", "data_name", "reference_posterior_name"), text("a name", pattern=PLAIN)))
Data = Mapping[str, Any]


class Model(NamedTuple):
    """Names of the parameters, of which those of ``positive`` are above zero, and log p from the data."""

    parameters: Callable[[Data], list[str]]
    positive: str
    log_prob: Callable[[Data], Callable[[Tensor], Tensor]]


def numbers(data: Data, name: str) -> Tensor:
    """An entry of the data, in double precision."""
    return torch.tensor(data[name], dtype=torch.float64)


def normal(x: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    """log N(x; mean, std²), entry by entry."""
    s = torch.as_tensor(std, dtype=x.dtype)
    return -0.5 * ((x - mean) / s).square() - s.log() - 0.5 * math.log(2 * math.pi)


def half_cauchy(x: Tensor, scale: float) -> Tensor:
    """Its logarithm, up to a constant."""
    return -torch.log1p((x / scale).square())


def eight_schools(data: Data) -> Callable[[Tensor], Tensor]:
    """Effects θ ~ N(μ, τ²), μ ~ N(0, 5²), τ half Cauchy(5)."""
    y, sigma = numbers(data, "y"), numbers(data, "sigma")

    def log_prob(x: Tensor) -> Tensor:
        theta, mu, tau = x[:, :-2].double(), x[:, -2:-1].double(), x[:, -1:].double()
        prior = normal(mu, 0.0, 5.0)[:, 0] + half_cauchy(tau, 5.0)[:, 0]
        return (prior + normal(theta, mu, tau).sum(1) + normal(y, theta, sigma).sum(1)).to(x.dtype)

    return log_prob


def regression(
    features: Callable[[Data], Tensor], outcome: str, prior: Callable[[Tensor, Tensor], Tensor | float]
) -> Callable[[Data], Callable[[Tensor], Tensor]]:
    """Linear regression, outcome ~ N(Xβ, σ²), with log prior of β (B, D) and σ (B,)."""

    def of(data: Data) -> Callable[[Tensor], Tensor]:
        x, y = features(data), numbers(data, outcome)

        def log_prob(rows: Tensor) -> Tensor:
            beta, sigma = rows[:, :-1].double(), rows[:, -1].double()
            return (normal(y, beta @ x.T, sigma.unsqueeze(1)).sum(1) + prior(beta, sigma)).to(rows.dtype)

        return log_prob

    return of


def line(name: str) -> Callable[[Data], Tensor]:
    """A column of ones and one of the data."""
    return lambda data: torch.stack([torch.ones_like(numbers(data, name)), numbers(data, name)], 1)


def coefficients(data: Data) -> list[str]:
    """Those of the matrix ``X`` of the data; two without one."""
    count = int(data.get("D", 2))
    return [*(f"beta[{j}]" for j in range(1, count + 1)), "sigma"]


MODELS: dict[str, Model] = {
    "eight_schools_noncentered": Model(
        lambda data: [*(f"theta[{j}]" for j in range(1, int(data["J"]) + 1)), "mu", "tau"], "tau", eight_schools
    ),
    "kidscore_momiq": Model(
        coefficients, "sigma", regression(line("mom_iq"), "kid_score", lambda _, s: half_cauchy(s, 2.5))
    ),
    "kidscore_momhs": Model(
        coefficients, "sigma", regression(line("mom_hs"), "kid_score", lambda _, s: half_cauchy(s, 2.5))
    ),
    "earn_height": Model(coefficients, "sigma", regression(line("height"), "earn", lambda *_: 0.0)),
    "blr": Model(
        coefficients,
        "sigma",
        regression(
            lambda data: numbers(data, "X"), "y", lambda b, s: normal(b, 0.0, 10.0).sum(1) + normal(s, 0.0, 10.0)
        ),
    ),
}


def posterior(folder: str | Path, name: str) -> Target:
    """A posterior of posteriordb, ``heldout`` being its reference draws, in the parameters of their file.

    Args:
        folder: of a clone.
        name: ``DATA-MODEL``, as ``eight_schools-eight_schools_noncentered``.

    Raises:
        DataUnavailable: if the clone does not have the files.
        ConfigurationError: if the model is not among ``MODELS``.
    """
    if not re.fullmatch(PLAIN, name):
        raise ConfigurationError(f"posterior {name!r} is no name of one; expected DATA-MODEL")
    root = Path(folder) / "posterior_database"
    told = _read(root / "posteriors" / f"{name}.json")
    if told["model_name"] not in MODELS:
        raise ConfigurationError(
            f"model {told['model_name']!r} of posterior {name!r} is not written in torch; those that are: "
            f"{', '.join(sorted(MODELS))}{suggest(told['model_name'], MODELS)}"
        )
    model, data = MODELS[told["model_name"]], _zipped(root / "data" / "data" / f"{told['data_name']}.json.zip")
    draws = root / "reference_posteriors" / "draws" / "draws" / f"{told['reference_posterior_name']}.json.zip"
    chains = _zipped(draws)
    try:
        parameters = model.parameters(data)
        rows = [torch.tensor([value for chain in chains for value in chain[one]]) for one in parameters]
        law, heldout = model.log_prob(data), torch.stack(rows, 1)
        if not len(heldout):
            raise ValueError("there are no draws")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataUnavailable(f"{draws} or its data are not as posteriordb has them: {error}") from error
    support = ["positive" if one == model.positive else "real" for one in parameters]
    target = Density(law, (len(parameters),), support=support, name=name)
    return replace(target, heldout=heldout)


def _zipped(path: Path) -> Any:
    """The JSON of a zip that holds one file."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path, LARGEST))) as file:
            (inside,) = file.infolist()
            if inside.file_size > LARGEST:
                raise DataUnavailable(f"{path} unpacks to {inside.file_size:,} bytes; expected at most {LARGEST:,}")
            return parse_json(file.read(inside))
    except (OSError, ValueError, FileError, zipfile.BadZipFile) as error:
        raise DataUnavailable(f"{path} cannot be read ({error}); expected a clone of posteriordb") from error


def _read(path: Path) -> Any:
    """What names a posterior's parts; each is a plain name, and no path."""
    try:
        return read_json(path, TOLD, largest=LARGEST)
    except (OSError, FileError) as error:
        raise DataUnavailable(f"{path} cannot be read ({error}); expected a clone of posteriordb") from error
