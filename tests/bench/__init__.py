"""Benchmarks: ratios measured in one run, and the errors that the bars name."""
