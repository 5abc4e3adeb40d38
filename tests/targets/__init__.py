"""Tests of the example apps and of the agent in an app under test."""
