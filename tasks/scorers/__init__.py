"""Layer scores: one number per block, higher = keep. One algorithm per file."""
