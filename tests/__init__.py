"""Tests of fewlayers; they mirror tasks/ and flows/."""
