from cryopick.cli import main

main()
