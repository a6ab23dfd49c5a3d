"""Transition kernels as pure functions: ``init`` makes a state, ``step`` maps it to the next one with an Info beside.

All randomness is handed in, so that equal inputs give equal outputs. Particles are flat, (B, D).
"""
