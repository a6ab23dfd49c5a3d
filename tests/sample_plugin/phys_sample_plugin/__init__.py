"""A third-party package that adds a sampler and a metric."""
