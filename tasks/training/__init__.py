"""Training and healing: one resumable loop for one model or several at once."""
