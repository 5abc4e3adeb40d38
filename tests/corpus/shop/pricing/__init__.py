"""How prices are made."""
