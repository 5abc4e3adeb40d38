"""What the ledger is made of."""
