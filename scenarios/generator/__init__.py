"""Sends the load: what runs inside Locust's processes."""
