"""What a real run may owe to a busy machine, and what it may not: so that no test asks for more trust than a run claims."""

from reports.checks.model import CheckStatus
from reports.model import Report

# Clock, answers, rows, order, origin: for these no machine is to blame, however busy.
SOLID = {"V1", "V7", "V8", "V11", "V13", "V22"}


def failing(report: Report, cell: str | None = None) -> set[str]:
    """The checks that fail, in one cell or in any."""
    found = [
        check
        for check in report.trust.checks
        if check.status is CheckStatus.FAIL and not check.is_informational
    ]
    return {check.id for check in found if cell in {None, check.cell}}


def unsound(report: Report, cell: str | None = None) -> set[str]:
    """Those of them that fail for no reason of the machine's."""
    return failing(report, cell) & SOLID
