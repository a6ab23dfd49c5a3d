"""Scores of generated samples, one subject a module; ``components`` lists them without importing torch."""
