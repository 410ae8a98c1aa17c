"""Reading and writing of micrographs and picks in other programs' formats."""
