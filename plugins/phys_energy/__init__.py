"""Energy-based models: a density learned from samples through negative samples of its own.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""
