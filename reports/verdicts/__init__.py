"""What limits a route, at which line, and what to write instead.

`evidence` gathers what is known of a route, `rules` gives the verdict, `diagnose` puts it into
sentences.
"""
