"""Map resolution from picks: half-maps and Fourier shell correlation."""
