#!/usr/bin/env bash
# geventhttpclient 2.6.1 on Python 3.11: reading a long body stops all other greenlets.
#
# Expected: a cooperative client lets others run while it reads; a greenlet that wakes every 2 ms is
# late by a few milliseconds at most while 200 MB arrive.
# Seen: as long as the socket has bytes ready, `read()` goes on in pieces of some KB and never yields.
# The ticker stops for tens of milliseconds or more at a time (here 119 ms, median of three). With
# `gevent.sleep(0)` between the pieces, the same bytes leave it on time (4 ms).
# A load generator reports this stall as the latency of its other requests.
# Needs Python 3.11 or newer and a package index. Exits 1 if the stall has gone.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check geventhttpclient==2.6.1 gevent==26.9.0

cat >server.py <<'PY'
import http.server

SIZE, PIECE = 200_000_000, bytes(1 << 20)

class Big(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", str(SIZE))
        self.end_headers()
        left = SIZE
        while left:
            left -= self.wfile.write(PIECE[:left])

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Big)
open("port", "w").write(str(server.server_port))
server.serve_forever()
PY
timeout 120 venv/bin/python server.py &
server=$!
until [ -s port ]; do sleep 0.1; done

cat >client.py <<'PY'
import sys, time
import gevent
from geventhttpclient import HTTPClient

def longest_stall(read):
    late, done = [0.0], [False]
    def tick():
        while not done[0]:
            before = time.perf_counter()
            gevent.sleep(0.002)
            late.append(time.perf_counter() - before - 0.002)
    ticker = gevent.spawn(tick)
    gevent.sleep(0.05)
    client = HTTPClient.from_url(f"http://127.0.0.1:{open('port').read()}/", network_timeout=60)
    read(client.get("/"))
    done[0] = True
    ticker.join()
    return max(late)

def at_once(answer):
    answer.read()

def in_turns(answer):
    while answer.read(1 << 16):
        gevent.sleep(0)

whole, turns = (sorted(longest_stall(read) for _ in range(3))[1] for read in (at_once, in_turns))
print(f"longest stall of a 2 ms ticker, median of three: {1000 * whole:.0f} ms, with turns {1000 * turns:.0f} ms")
sys.exit(whole < 0.02 or whole < 2 * turns)
PY
venv/bin/python client.py
