"""The value gradient sampler: a discrete-time sampler of energies whose drift is the gradient of a learned value.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""
