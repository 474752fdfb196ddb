"""Forecast errors, paired tests, baselines outside the model, latency and memory."""
