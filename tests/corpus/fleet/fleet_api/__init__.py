"""Vans, their positions and their journeys."""
