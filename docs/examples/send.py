#!/usr/bin/env python3
"""Send jobs to a fencepost host: a client of docs/spec/wire.md in Python.

It needs nothing but Python 3.8. It is an example to start from, complete in what
makes a sender safe: the id is made once and never again, a job is asked for under
it until there is an answer, and every host of the spool may be asked.

    send.py [--to HOST:PORT]... [--wait] FILE...      - is standard input
    send.py --ca ca.pem --cert me.pem --key me.key ...   mutual TLS
    send.py --ca ca.pem --token-file token ...           TLS, and each request signed

Each FILE holds one job document, or several, one a line (--jsonl). The ids are
printed in the order of the documents. Exit status: 0 all accepted (with --wait: and
none failed), 1 not all, 2 wrong usage.
"""

import argparse
import hashlib
import hmac
import json
import os
import random
import socket
import ssl
import struct
import sys
import time
import uuid

MAGIC = b"\xf5fpj"
HELLO, WELCOME, SUBMIT, ACCEPTED, REFUSED, QUERY, STATE, PING, PONG, GOAWAY = range(1, 11)
SMALL = 16384  # largest body of anything but SUBMIT
FINAL = {"malformed", "protocol", "unsupported_version", "invalid_job", "conflict", "too_old", "too_large", "not_allowed"}
ENDED = {"done", "failed", "handed_over", "parked"}  # a parked job waits for a person
PING_EVERY, SILENCE = 15, 45  # seconds


def shown(text):
    """Return text from elsewhere with what could move a cursor or break a line made visible."""
    return "".join(c if c.isprintable() else "\\u%04x" % ord(c) for c in str(text))


class Gone(Exception):
    """The connection is of no use any more; what is without an answer is asked again."""


class GoneForGood(Exception):
    """The host said with GOAWAY that asking again is of no use."""


# CRC-32C, bit by bit into a table.
TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


# Deterministic CBOR, the part of it that the protocol uses.


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for extra, size in enumerate((1, 2, 4, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | 24 + extra]) + n.to_bytes(size, "big")
    raise ValueError("number too large")


def encode(item):
    if isinstance(item, bool):
        return b"\xf5" if item else b"\xf4"
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, str):
        text = item.encode()
        return head(3, len(text)) + text
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(encode, item))
    if isinstance(item, dict):
        pairs = sorted((encode(key), encode(value)) for key, value in item.items())
        return head(5, len(pairs)) + b"".join(key + value for key, value in pairs)
    raise ValueError("%r has no place in a message" % (item,))


def decode(data, at=0, depth=1):
    """Return the item at data[at:] and where the next one begins."""
    if depth > 8:
        raise ValueError("nested too deeply")
    first = data[at]
    major, n, at = first >> 5, first & 31, at + 1
    if first in (0xF4, 0xF5):
        return first == 0xF5, at
    if n > 27 or major in (2, 6, 7):
        raise ValueError("byte %#04x is not used" % first)
    if n >= 24:
        size = 1 << n - 24
        if at + size > len(data):
            raise ValueError("ends inside a number")
        n, at = int.from_bytes(data[at : at + size], "big"), at + size
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if n > len(data) - at:
        raise ValueError("longer than the message")
    if major == 3:
        return data[at : at + n].decode(), at + n
    items = []
    for _ in range(n * (major - 3)):  # a map has two items a pair
        item, at = decode(data, at, depth + 1)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


# Frames.


def frame(kind, message):
    body = encode(message)
    start = MAGIC + struct.pack(">BBHII", 1, kind, 0, len(body), crc32c(body))
    return start + struct.pack(">I", crc32c(start)) + body


class Security:
    """What this client shows, and wants to see."""

    def __init__(self, ca=None, cert=None, key=None, tls=False, token_file=None):
        self.context, self.token = None, None
        if ca or cert or tls:
            self.context = ssl.create_default_context(cafile=ca)
            self.context.minimum_version = ssl.TLSVersion.TLSv1_3
            self.context.set_alpn_protocols(["fencepost/1"])
            if cert:
                self.context.load_cert_chain(cert, key)
        if token_file:
            with open(token_file, encoding="ascii") as file:
                name, secret = file.read().split()
            self.token = name, secret.encode()

    def wrap(self, plain, host):
        return self.context.wrap_socket(plain, server_hostname=host) if self.context else plain

    def sign(self, kind, message, spool):
        """Return the message with its signature (Tokens)."""
        name, secret = self.token
        auth = {"key": name, "time": time.time_ns() // 1000000, "nonce": os.urandom(16).hex()}
        text = "fencepost token 1\n%s\n%s\n" % (spool, {SUBMIT: "SUBMIT", QUERY: "QUERY"}[kind])
        signed = text.encode() + encode(dict(message, auth=auth))
        return dict(message, auth=dict(auth, mac=hmac.new(secret, signed, hashlib.sha256).hexdigest()))


class Connection:
    """A connection after its handshake."""

    def __init__(self, address, security):
        host, _, port = address.rpartition(":")
        self.security = security
        self.buffer = b""
        self.seq = 0
        self.heard = time.monotonic()
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
        try:
            self.socket = security.wrap(self.socket, host.strip("[]"))
            features = ["token", "types"]
            self.send(HELLO, {"versions": [1], "client": socket.gethostname() or "send.py", "software": "send.py/1", "features": features})
            kind, self.welcome = self.receive()
            if kind != WELCOME or self.welcome["version"] != 1:
                raise Gone("no WELCOME, but message %d" % kind)
        except BaseException:
            self.close()
            raise

    def close(self):
        self.socket.close()

    def send(self, kind, message):
        # A whole job has to get through; one that stalls is given up.
        self.socket.settimeout(SILENCE)
        self.socket.sendall(frame(kind, message))

    def ask(self, kind, message):
        """Send a request and return its number."""
        self.seq += 1
        message = dict(message, seq=self.seq)
        if self.security.token and "token" in self.welcome.get("features", []):
            message = self.security.sign(kind, message, self.welcome["spool"])
        self.send(kind, message)
        return self.seq

    def receive(self):
        """Return the next message that isn't about the connection itself."""
        while True:
            start = self.read(20)
            magic, version, kind, reserved, length, body_crc, header_crc = struct.unpack(">4sBBHIII", start)
            if magic != MAGIC or version != 1 or crc32c(start[:16]) != header_crc or reserved != 0 or length > SMALL:
                raise Gone("what came is no frame of this protocol")
            body = self.read(length)
            if crc32c(body) != body_crc:
                raise Gone("damaged on the way")
            try:
                message, end = decode(body)
            except (ValueError, IndexError) as error:
                raise Gone("unreadable message: %s" % error)
            if end != len(body) or not isinstance(message, dict):
                raise Gone("unreadable message")
            if kind == PING:
                self.send(PONG, message)
            elif kind == GOAWAY:
                text = "%s: %s" % (message["code"], message["reason"])
                if message["code"] in FINAL:
                    raise GoneForGood(text)
                # Requests up to last_seq still get answers; an example may
                # as well ask for all of them again: the ids make that safe.
                raise Gone(text)
            elif kind != PONG:
                return kind, message

    def read(self, size):
        asked = 0
        while len(self.buffer) < size:
            silent = time.monotonic() - self.heard
            if silent > SILENCE:
                raise Gone("nothing heard for %d s" % silent)
            if silent > PING_EVERY * (asked + 1):
                asked += 1
                self.send(PING, {"nonce": asked})
            self.socket.settimeout(1)
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise Gone("connection closed")
            self.heard = time.monotonic()
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data


# Jobs.


def new_id():
    """A UUID version 7: the spool can tell from it how old the job is."""
    n = (time.time_ns() // 1000000 << 80) | int.from_bytes(os.urandom(10), "big")
    n = n & ~(0xF << 76) | 7 << 76
    n = n & ~(3 << 62) | 2 << 62
    return str(uuid.UUID(int=n))


def without_empty(job):
    """Leave out optional values that are empty or 0, as the encoding wants it."""
    job = dict(job)
    if isinstance(job.get("resources"), dict):
        job["resources"] = {key: value for key, value in job["resources"].items() if value != 0}
    return {key: value for key, value in job.items() if key == "name" or value not in ("", [], {}, 0)}


def in_turn(hosts, security, todo, step, tries):
    """Call step with one host after the other, with a growing pause, until todo is empty."""
    pause = 1.0
    for turn in range(tries):
        address = hosts[turn % len(hosts)]
        try:
            connection = Connection(address, security)
            try:
                step(connection)
            finally:
                connection.close()
        except GoneForGood as error:
            print("send.py: %s: %s" % (address, shown(error)), file=sys.stderr)
            return
        except (OSError, Gone) as error:  # also what is wrong with a certificate
            print("send.py: %s: %s" % (address, shown(error)), file=sys.stderr)
        if not todo:
            return
        if (turn + 1) % len(hosts) == 0:
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, 60)


def submit(hosts, security, jobs, tries):
    """Submit jobs, a dict from id to job, and return the set of ids that were accepted."""
    todo, accepted = dict(jobs), set()

    def step(connection):
        queue, under_way = list(todo), {}
        while queue or under_way:
            while queue and len(under_way) < connection.welcome["window"]:
                id = queue.pop(0)
                under_way[connection.ask(SUBMIT, {"id": id, "job": todo[id]})] = id
            kind, answer = connection.receive()
            id = under_way.pop(answer["seq"], None)
            if id is None:
                raise Gone("an answer to what wasn't asked")
            if kind == ACCEPTED:
                accepted.add(id)
                del todo[id]
            elif kind == REFUSED:
                print("send.py: job %s refused: %s: %s" % (id, shown(answer["code"]), shown(answer["reason"])), file=sys.stderr)
                if answer["code"] in FINAL:
                    del todo[id]

    in_turn(hosts, security, todo, step, tries)
    return accepted


def wait(hosts, security, ids, tries):
    """Wait until every job has ended or waits for a person, and return their states."""
    todo, states = set(ids), {}

    def step(connection):
        while todo:
            for id in sorted(todo):
                connection.ask(QUERY, {"id": id})
                kind, answer = connection.receive()
                if kind == STATE:
                    states[id] = answer["state"]
                    if states[id] in ENDED:
                        todo.discard(id)
            if todo:
                time.sleep(0.5)

    in_turn(hosts, security, todo, step, tries)
    return states


def documents(files, lines):
    for name in files:
        with (sys.stdin if name == "-" else open(name, encoding="utf-8")) as file:
            for text in file if lines else [file.read()]:
                if text.strip() or not lines:
                    yield json.loads(text)


def main():
    parser = argparse.ArgumentParser(description="Send jobs to a fencepost host.")
    parser.add_argument("--to", action="append", metavar="HOST:PORT", help="may be repeated: tried in turn (default 127.0.0.1:7433)")
    parser.add_argument("--jsonl", action="store_true", help="one document a line")
    parser.add_argument("--wait", action="store_true", help="wait until the cluster has the jobs")
    parser.add_argument("--tries", type=int, default=10, help="connections to try before giving up")
    parser.add_argument("--tls", action="store_true", help="speak TLS (with --ca or --cert, too)")
    parser.add_argument("--ca", metavar="FILE", help="the CA of the hosts' certificates (default the system's)")
    parser.add_argument("--cert", metavar="FILE", help="this client's certificate")
    parser.add_argument("--key", metavar="FILE", help="its key")
    parser.add_argument("--token-file", metavar="FILE", help="file with this client's token: NAME SECRET")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    hosts = args.to or ["127.0.0.1:7433"]

    jobs = {}
    try:
        security = Security(args.ca, args.cert, args.key, args.tls, args.token_file)
        for job in documents(args.files, args.jsonl):
            id = job.pop("id", None) or new_id()
            jobs[id] = without_empty(job)
            encode(jobs[id])
    except (OSError, ValueError, AttributeError) as error:
        print("send.py: %s" % error, file=sys.stderr)
        return 2

    accepted = submit(hosts, security, jobs, args.tries)
    for id in jobs:
        if id in accepted:
            print(id, flush=True)
    if len(accepted) < len(jobs):
        print("send.py: %d of %d jobs were not accepted" % (len(jobs) - len(accepted), len(jobs)), file=sys.stderr)
        return 1
    if args.wait:
        states = wait(hosts, security, jobs, args.tries)
        bad = [id for id in jobs if states.get(id) not in ("done", "handed_over")]
        for id in bad:
            print("send.py: job %s is %s" % (id, shown(states.get(id, "unknown"))), file=sys.stderr)
        return 1 if bad else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
