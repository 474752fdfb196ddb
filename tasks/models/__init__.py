"""Forecasting models as stacks of blocks: build, forecast, prune, save, load."""
