"""The checks of a run: host, load generator, answers, and stability.

The limits are those of the measurement handbook's part on validity; `V1` to `V23` are its names,
`V24` is ours. A function of this list reads `RunMetrics` and nothing else, so an artificial run can
fail each of them.
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
