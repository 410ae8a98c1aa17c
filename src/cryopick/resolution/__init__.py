"""Half-maps and Fourier shell correlation from picks."""
