"""Monte Carlo in a density: Hamiltonian, sequential, annealed, tempered and by interacting particles.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""
