#!/usr/bin/env python3
"""The legacy service's third program: takes a JSON file, submits it, and forgets it, whatever came of that.

This is the program that lost half of the jobs of a month: a second machine ran it, too, one that couldn't submit.
"""
import argparse
import glob
import os
import random
import signal
import subprocess
import sys
import time

stopped = False


def stop(*_):
    global stopped
    stopped = True


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--take", required=True, help="pattern of the JSON files")
    p.add_argument("--work", required=True, help="directory of this machine's own")
    p.add_argument("--cluster", required=True, help="program that submits what is on its standard input")
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    print("started", flush=True)
    while not stopped:
        time.sleep(random.uniform(0, 0.04))
        names = glob.glob(a.take)
        if not names:
            continue
        path = random.choice(names)
        mine = os.path.join(a.work, os.path.basename(path))
        try:
            if time.time() - os.stat(path).st_mtime < 0.2:
                continue  # it may be half of one
            os.rename(path, mine)
        except FileNotFoundError:
            continue  # the other machine was quicker
        except PermissionError as e:
            print("it doesn't work today:", e, file=sys.stderr, flush=True)
            time.sleep(0.2)
            continue
        with open(mine, "rb") as f:
            done = subprocess.run([a.cluster], stdin=f, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(random.choice(["job not accepted", "cluster busy?", "error 1", "please try again"]), file=sys.stderr, flush=True)
        os.remove(mine)


if __name__ == "__main__":
    main()
