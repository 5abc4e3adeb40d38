"""The newsroom's routes."""
