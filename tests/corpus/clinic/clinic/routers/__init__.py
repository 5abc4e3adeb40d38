"""The clinic's routes."""
