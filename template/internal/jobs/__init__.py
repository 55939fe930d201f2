"""The jobs, one file each: what is in a file here is found, and needs no other line anywhere."""
