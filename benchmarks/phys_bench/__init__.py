"""The benchmark: tasks, suites, runner, results and report. It knows samplers only by name, through the registry."""
