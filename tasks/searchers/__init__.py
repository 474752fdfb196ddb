"""The search over masks: space, journal, evaluator, samplers, study, short healing."""
