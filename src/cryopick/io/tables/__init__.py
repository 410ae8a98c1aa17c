"""Tables: STAR files, delimited text and CryoSPARC datasets."""
