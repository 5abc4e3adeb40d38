"""Writes a report: page, charts, terminal tables, summary, CI and JUnit."""
