"""A run with the stub picker in a process of its own, to be killed: `drive_run.py MICROGRAPHS WORKERS [SHARD]`."""

import sys
from pathlib import Path

import stub_pickers

from cryopick.io.micrographs.sources import find_micrographs
from cryopick.runs.pick import run_picking
from cryopick.runs.shards import Shard

if __name__ == "__main__":
    sources = find_micrographs([sys.argv[1]])
    shard = Shard.parse(sys.argv[3]) if len(sys.argv) > 3 else None
    settings, workers = stub_pickers.SETTINGS, int(sys.argv[2])
    result = run_picking(sources, Path("out"), settings, workers=workers, shard=shard, build=stub_pickers.build)
    sys.stdout.write("interrupted\n" if result.interrupted else "finished\n")
