"""Somebody's own app, examined: facts per route, the rules that judge them, and what to write instead.

`exam` gathers the facts, `rules` gives the verdict, `words` says it, `remedies` tells what to do.
"""
