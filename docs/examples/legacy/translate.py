#!/usr/bin/env python3
"""The legacy service's second program: each XML file becomes a JSON file, written in place; then it is removed.

Killed between the two, it leaves both.
"""
import argparse
import glob
import json
import os
import signal
import sys
import time
import xml.etree.ElementTree as ET

stopped = False


def stop(*_):
    global stopped
    stopped = True


def translate(path, to):
    try:
        job = ET.parse(path).getroot()
    except (ET.ParseError, FileNotFoundError):
        return  # half of it, or another machine was quicker: next time
    doc = {"id": job.findtext("id"), "name": job.findtext("name"), "command": [a.text or "" for a in job.iterfind("command/arg")]}
    with open(os.path.join(to, f"JOB_{doc['id']}.json"), "w", encoding="utf-8") as f:
        json.dump(doc, f)
    try:
        os.remove(path)
    except FileNotFoundError:
        pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--take", required=True, help="pattern of the XML files")
    p.add_argument("--to", required=True, help="directory of the JSON files")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, stop)
    print("started", flush=True)
    while not stopped:
        for path in sorted(glob.glob(a.take)):
            if stopped:
                break
            try:
                translate(path, a.to)
            except PermissionError as e:
                print("it doesn't work today:", e, file=sys.stderr, flush=True)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
