"""The shop's routes."""
