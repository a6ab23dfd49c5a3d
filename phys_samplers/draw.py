"""A draw: samples with what it cost to get them, in the form that other tools take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.shown import Facts, Shown, number, size

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from phys_samplers.table import Column


@dataclass(frozen=True, repr=False)
class Draw(Shown):
    """Samples with what it cost to get them.

    Args:
        samples: (n, *event_shape).
        nfe: function evaluations (network or gradient calls) *per sample*, burn-in included.
        diagnostics: JSON-like facts: acceptance rate, R̂, clamped fraction, … Names that mean the same everywhere:
            ``log_z``, an estimate of the target's log Z, with its standard error ``log_z_std`` where one is known;
            ``elbo``, a lower bound of it in expectation; ``ess``, effective independent draws per sample: (Σw)²/(nΣw²)
            of importance weights, or of chains what the autocorrelation leaves (above 1 where a chain is long and one
            state of it was asked for).
        log_weights: logarithms (n,) of importance weights that make the samples exact, up to one constant; None if
            the samples stand for themselves.
        n_chains: of how many Markov chains the samples are states, the latest state of every chain first; None if
            they are no chains' states.
    """

    samples: Tensor
    nfe: float
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    log_weights: Tensor | None = None
    n_chains: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no sampler can mean.

        Raises:
            ConfigurationError: on samples that are no real tensor, a negative or infinite ``nfe``, or ``log_weights``
                that are not one number a sample.
        """
        if not isinstance(self.samples, Tensor) or self.samples.is_complex() or self.samples.ndim == 0:
            given = getattr(self.samples, "dtype", type(self.samples).__name__)
            raise ConfigurationError(f"samples are {given}; expected a tensor (n, *event_shape) of real numbers")
        try:
            known = math.isfinite(self.nfe) and self.nfe >= 0
        except TypeError:
            known = False
        if not known:
            raise ConfigurationError(f"nfe is {self.nfe!r}; expected evaluations per sample, a number of at least 0")
        weights = self.log_weights
        if weights is not None and tuple(getattr(weights, "shape", ())) != (len(self.samples),):
            given = tuple(getattr(weights, "shape", ()))
            raise ConfigurationError(f"log_weights have shape {given}; expected {(len(self.samples),)}, one a sample")

    @property
    def chains(self) -> Tensor:
        """The samples by chain (C, states, *event_shape), in the order of time.

        Independent draws are chains of one state each. States that not every chain has, where the number of samples is
        no multiple of C, are left out. Ask for more states of a chain by its sampler's ``samples_per_chain``.
        """
        count = min(self.n_chains or len(self.samples), len(self.samples))
        states = len(self.samples) // count
        return self.samples[: states * count].unflatten(0, (states, count)).flip(0).transpose(0, 1)

    def to_numpy(self) -> np.ndarray:
        """The samples as an array (n, *event_shape)."""
        found: np.ndarray = self.samples.detach().cpu().numpy()
        return found

    def to_frame(self, columns: Sequence[Column] | None = None) -> pd.DataFrame:
        """The samples as a data frame.

        Args:
            columns: names and types, as ``model.columns`` has them; ``x0``, ``x1``, … if None.
        """
        from phys_samplers.table import to_frame

        return to_frame(self.samples, columns)

    def to_arviz(self, names: Sequence[str] | None = None) -> Any:
        """The samples by chain as ArviZ's ``InferenceData``, with log weights as ``sample_stats`` where there are any.

        Args:
            names: one variable for each coordinate, by name, as those of ``model.columns``; one variable ``x`` if None.

        Raises:
            MissingCapability: if ArviZ is not installed.
            ConfigurationError: if there are not as many names as coordinates.
        """
        try:
            import arviz
        except ImportError:
            raise MissingCapability("arviz is not installed; pip install 'phys-samplers[arviz]'") from None
        by_chain = self.chains.detach().cpu()
        if self.n_chains is None:  # one chain of independent draws, where ArviZ expects few chains of many
            by_chain = by_chain.transpose(0, 1)
        flat = by_chain.flatten(2)
        if names is not None and len(names) != flat.shape[2]:
            raise ConfigurationError(f"{len(names)} names are given; expected {flat.shape[2]}, one for each coordinate")
        posterior = (
            {"x": by_chain.numpy()} if names is None else {name: flat[..., i].numpy() for i, name in enumerate(names)}
        )
        groups: dict[str, Any] = {"posterior": posterior}
        if self.log_weights is not None and self.n_chains is None:
            groups["sample_stats"] = {"log_weight": self.log_weights.detach().cpu().numpy()[None]}
        if int(arviz.__version__.partition(".")[0]) >= 1:
            return arviz.from_dict(groups)
        return arviz.from_dict(**groups)

    def _facts(self) -> Facts:
        facts = [("samples", size(self.samples.shape)), ("NFE", f"{self.nfe:,.6g}")]
        if self.n_chains is not None:
            facts.append(("chains", f"{self.n_chains:,}"))
        if self.log_weights is not None:
            facts.append(("log weights", size(self.log_weights.shape)))
        known = [(str(name), number(value)) for name, value in self.diagnostics.items() if name != "chains"]
        return [*facts, *known[:12]]
