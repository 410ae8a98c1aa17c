"""Tables: STAR, delimited text and CryoSPARC arrays."""
