#!/usr/bin/env python3
"""The legacy service's first program: jobs come in over TCP, each is written as an XML file.

A request is four bytes of length (big-endian) and a JSON object {"name": ..., "command": [...]}; the answer is
the job's id, a line. Files are written in place, under names of their own: a reader may see half of one.
"""
import argparse
import datetime
import hashlib
import json
import os
import socketserver
import struct
import uuid
from xml.sax.saxutils import escape

XML = """<?xml version="1.0" encoding="UTF-8"?>
<job version="1">
  <id>{id}</id>
  <client>legacy</client>
  <received_at>{at}</received_at>
  <received_by>legacy</received_by>
  <digest>{digest}</digest>
  <name>{name}</name>
  <command>
{args}
  </command>
</job>
"""


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(4):
            body = self.rfile.read(struct.unpack(">I", head)[0])
            self.wfile.write(self.server.store(json.loads(body), body).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def store(self, job, body):
        job_id = str(uuid.uuid4())
        now = datetime.datetime.now(datetime.timezone.utc)
        text = XML.format(id=job_id, at=now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z",
                          digest=hashlib.sha256(body).hexdigest(), name=escape(job["name"]),
                          args="\n".join(f"    <arg>{escape(a)}</arg>" for a in job["command"]))
        with open(os.path.join(self.dir, f"JOB_{job_id}.xml"), "w", encoding="utf-8") as f:
            half = len(text) // 2
            f.write(text[:half])
            f.flush()
            f.write(text[half:])
        return job_id


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--listen", default="127.0.0.1:7400")
    p.add_argument("--to", required=True, help="directory of the XML files")
    a = p.parse_args()
    host, port = a.listen.rsplit(":", 1)
    with Server((host, int(port)), Connection) as server:
        server.dir = a.to
        print("started", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
