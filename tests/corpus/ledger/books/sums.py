"""Sums and numbers."""


def checked(seed: int, length: int = 45_000) -> int:
    """Check sum over an account's entries."""
    return sum((seed + entry) * entry % 97 for entry in range(length))


def perfect(limit: int) -> list[int]:
    """Numbers that the auditors like."""
    return [number for number in range(2, limit) if sum(part for part in range(1, number) if number % part == 0) == number]


def compounded(principal: int, days: int = 660_000) -> int:
    """Interest, day by day, in cents."""
    cents = principal * 100
    for day in range(days):
        cents += (cents + day) % 7
    return cents
