"""The python3 runtime of Roost: what `/usr/bin/python3 -s /opt/roost/python/bootstrap.py` runs.

All of it is in `roost_runtime`, because an imported module can come from compiled code (`python3 -m compileall` on this
folder, once) and a main program never does.
"""

if __name__ == "__main__":  # not in the children that multiprocessing spawns
    import sys

    here = __file__.rpartition("/")[0]
    if here not in sys.path:  # PYTHONSAFEPATH
        sys.path.insert(0, here)

    import roost_runtime

    roost_runtime.main()
