"""From raw files to windows: sources, audit, splits, scaling, windows, synthetic data."""
