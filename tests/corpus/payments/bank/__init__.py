"""A payments API: accounts, money and partners."""
