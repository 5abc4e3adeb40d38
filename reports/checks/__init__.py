"""The checks of a run, by what they ask: whether the load was the stated one, the answers are whole, one number will do.

The limits are those of the measurement handbook's part on validity; `V1` to `V23` are its names,
`V24` is ours. A function of this list reads a `Study` and nothing else, so that a planted run can
fail every one of them.
"""

from reports.checks import answers, generator, host, stability
from reports.checks.model import Check, CheckStatus

CHECKS = (
    host.check_host,
    generator.check_generator,
    answers.check_answers,
    stability.check_stability,
)

__all__ = ["CHECKS", "Check", "CheckStatus"]
