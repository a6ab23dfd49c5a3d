"""The forms of a draw that other tools take: chains, arrays, data frames, ArviZ; and how it shows itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.shown import Facts, Shown, number, size

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from phys_samplers.table import Column


class DrawForms(Shown):
    """What other tools take of a ``phys_samplers.sampler.Draw``, whose fields these are."""

    samples: Tensor
    nfe: float
    diagnostics: Mapping[str, Any]
    log_weights: Tensor | None
    n_chains: int | None

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
