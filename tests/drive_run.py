"""A run with the stub picker in a process of its own, to be killed: `drive_run.py MICROGRAPHS WORKERS`."""

import sys
from pathlib import Path

import stub_pickers

from cryopick.distributed.run import run_picking
from cryopick.io.sources import find_micrographs

if __name__ == "__main__":
    sources = find_micrographs([sys.argv[1]])
    result = run_picking(sources, Path("out"), stub_pickers.SETTINGS, workers=int(sys.argv[2]), build=stub_pickers.build)
    sys.stdout.write("interrupted\n" if result.interrupted else "finished\n")
