"""Typed files that cross a stage boundary."""
