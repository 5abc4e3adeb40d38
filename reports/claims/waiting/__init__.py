"""The same wait, written in different ways: what holds the loop, a pool, or nothing."""
