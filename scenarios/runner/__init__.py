"""Carries a plan out: starts app and Locust, watches both, writes the run."""
