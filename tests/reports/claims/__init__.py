"""Tests of the claims, topic by topic, on simulated runs."""
