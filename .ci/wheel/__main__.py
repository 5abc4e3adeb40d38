"""`python -m atonce`, from a wheel."""

from atonce import main

main()
