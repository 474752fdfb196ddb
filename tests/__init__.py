"""Tests of fewlayers; they mirror tasks/ and flows/."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
