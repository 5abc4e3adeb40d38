"""The library's routes."""
