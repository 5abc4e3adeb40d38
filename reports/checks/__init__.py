"""The checks of a run: host, load generator, answers, and stability.

Each check has an id, `V1` to `V24`, and its limits beside its code. A function of this list reads
`RunMetrics` and nothing else, so an artificial run can fail each of them.
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
