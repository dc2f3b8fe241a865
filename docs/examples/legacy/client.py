#!/usr/bin/env python3
"""A client of the legacy service: sends jobs called NAME-0, NAME-1, ... over one connection."""
import argparse
import json
import socket
import struct
import time


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--to", default="127.0.0.1:7400")
    p.add_argument("--name", default="job")
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--every", type=float, default=0.0, help="seconds between two jobs")
    a = p.parse_args()
    host, port = a.to.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as s, s.makefile("rb") as answers:
        for i in range(a.count):
            body = json.dumps({"name": f"{a.name}-{i}", "command": ["/bin/echo", str(i)]}).encode()
            s.sendall(struct.pack(">I", len(body)) + body)
            if not answers.readline():
                raise SystemExit("the service hung up")
            time.sleep(a.every)


if __name__ == "__main__":
    main()
