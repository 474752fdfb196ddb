"""Masks: which blocks are kept, how many, at what cost."""
