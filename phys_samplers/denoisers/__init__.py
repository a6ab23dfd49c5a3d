"""Samplers that learn a denoiser D(x, σ) and run a noising process backwards with it."""
