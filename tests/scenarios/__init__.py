"""Tests of plans, load generation and the doctor's driver."""
