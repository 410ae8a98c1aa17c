"""A watch with the stub picker in a process of its own, to be killed: `drive_watch.py MICROGRAPHS WORKERS UNTIL_IDLE`."""

import sys
from pathlib import Path

import stub_pickers

from cryopick.parallel import pool
from cryopick.runs.watch import Pace, watch_folder

if __name__ == "__main__":
    pool.PAUSE = 0.05
    pace = Pace(settle=0.4, poll=0.1, refresh=0.1, until_idle=float(sys.argv[3]))
    folder, workers = sys.argv[1], int(sys.argv[2])
    status = watch_folder([folder], Path("out"), stub_pickers.SETTINGS, workers=workers, pace=pace, build=stub_pickers.build)
    sys.stdout.write(f"{status.done} done, {status.failed} failed\n")
