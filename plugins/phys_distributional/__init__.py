"""Return models of distributional reinforcement learning that others are compared with."""
