"""What a busy machine may cost a real run: no test asks for more trust than a run claims."""

from reports.checks.model import CheckStatus
from reports.model import Report

# Clock, answers, rows, order, origin: for these no machine is the culprit, however busy.
SOLID = {"V1", "V7", "V8", "V11", "V13", "V22"}


def failing(report: Report, cell: str | None = None) -> set[str]:
    """The checks that fail, in one cell or in any."""
    checks = [
        check
        for check in report.trust.checks
        if check.status is CheckStatus.FAIL and not check.is_informational
    ]
    return {check.id for check in checks if cell in {None, check.cell}}


def unsound(report: Report, cell: str | None = None) -> set[str]:
    """Failing checks that no busy machine explains."""
    return failing(report, cell) & SOLID
