"""Whole commands on real servers and a real Locust."""
