"""`python -m cryopick`: the command line."""

from cryopick.cli import main

main()
