"""What a check costs: `python -m benchmarks.speed [section ...]` measures, prints and writes results/speed.json."""
