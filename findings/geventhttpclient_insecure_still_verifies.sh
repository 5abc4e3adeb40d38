#!/usr/bin/env bash
# geventhttpclient 2.6.1 on Python 3.11: `insecure=True` still verifies the server's certificate.
#
# Expected: the request is answered, as with `verify=False` of requests and httpx or `-k` of curl.
# Seen: SSLCertVerificationError (self-signed certificate). The flag only leaves out the comparison of
# the host's name. To accept any certificate, pass an `ssl_context_factory`.
# Needs Python 3.11 or newer, openssl and a package index. Exits 1 if any of that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check geventhttpclient==2.6.1 gevent==26.9.0
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
    -keyout key.pem -out cert.pem 2>/dev/null

cat >server.py <<'PY'
import http.server, ssl

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Hello)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
open("port", "w").write(str(server.server_port))
server.serve_forever()
PY
timeout 60 venv/bin/python server.py 2>/dev/null &
server=$!
until [ -s port ]; do sleep 0.1; done

cat >client.py <<'PY'
import ssl, sys
from geventhttpclient import HTTPClient

def ask(**options):
    client = HTTPClient.from_url(f"https://127.0.0.1:{open('port').read()}/", network_timeout=10, connection_timeout=10, **options)
    try:
        return client.get("/").status_code
    except ssl.SSLError as error:
        return type(error).__name__
    finally:
        client.close()

def any_certificate(**_):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context

seen = {"default": ask(), "insecure": ask(insecure=True), "own context": ask(insecure=True, ssl_context_factory=any_certificate)}
print(seen)
sys.exit(seen != {"default": "SSLCertVerificationError", "insecure": "SSLCertVerificationError", "own context": 200})
PY
venv/bin/python client.py
