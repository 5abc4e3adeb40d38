"""Tests of numbers, checks, verdicts and their presentation."""
