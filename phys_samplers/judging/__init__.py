"""Which sampler to trust on a density that nobody has solved: run several, hold them against each other, say why."""

from phys_samplers.judging.running import DEFAULT_SAMPLERS, judge
from phys_samplers.judging.verdict import Judgement, Opinion

__all__ = ["DEFAULT_SAMPLERS", "Judgement", "Opinion", "judge"]
