"""The doctor's judgement: what was seen of a route, and the rules that give its verdict.

Pure functions of numbers. The planner asks them during a run which measurement is missing; the
report asks them what the whole run means.
"""
