"""How fast and how large encoders are, beside a textbook ST-GCN in the same run.

python tools/profile.py STGCN --skeleton body25
python tools/profile.py STGCN STGCN:frequency=true --precision float32 bf16 --fold --threads 2 --rounds 9
python tools/profile.py my_file.MyNet experiments/configs/utd_mhad/skeleton.yaml --channels 6 --json profile.json
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

if __name__ == "profile":
    # cProfile does `import profile` and means the standard library's; a script in this folder would give it this file.
    found = PathFinder.find_spec("profile", [sysconfig.get_path("stdlib")])
    assert found is not None and found.loader is not None
    sys.modules["profile"] = module_from_spec(found)
    found.loader.exec_module(sys.modules["profile"])
elif __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from graphnets.data.scripts import run_script
    from tools.profile_duel import main

    run_script(main)
