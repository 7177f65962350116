"""A caller in Python, with the SPIFFE client that others wrote (spiffe, spiffe-tls).

`client.py GATEWAY HOST TRUST_DOMAIN` runs until it is killed. It takes its identity from the Workload API at
SPIFFE_ENDPOINT_SOCKET, follows every change, calls `GET /items/1` of HOST behind GATEWAY (address:port) all the time, and
fetches and validates a JWT-SVID once a second. The gateway must be a member of the trust domain, by its roots.

It prints JSON, a line for each: {"update": SERIAL, "roots": N}, {"failed": WHY}, {"calls": N} after each twenty,
{"jwt": SUBJECT} for each token that was validated.
"""

import json
import socket
import sys
import threading
import time

from OpenSSL import SSL
from spiffe import TrustDomain, WorkloadApiClient, X509Source
from spiffetls import create_ssl_context
from spiffetls.tlsconfig.authorize import authorize_member_of

PACE = 0.02
PATIENCE = 10.0
AUDIENCE = "https://tests.internal"


def say(**line):
    print(json.dumps(line), flush=True)


def words(error):
    return f"{type(error).__name__}: {error}"


class Snapshot:
    """What a source shows at one moment. A context that is made from it does not change under a handshake."""

    def __init__(self, source):
        context = source.get_x509_context()
        self.svid = context.default_svid
        self.bundles = context.x509_bundle_set.bundles

    def subscribe_for_updates(self, _callback):
        pass


def follow(source, domain):
    """Tells the serial number and how many roots the trust domain has, at the start and after each change."""
    told = None

    def tell():
        nonlocal told
        shown = source.get_x509_context()
        bundle = shown.x509_bundle_set.get_bundle_for_trust_domain(domain)
        serial = format(shown.default_svid.leaf.serial_number, "x")
        now = (serial, len(bundle.x509_authorities) if bundle else 0)
        if now != told:
            told = now
            say(update=now[0], roots=now[1])

    source.subscribe_for_updates(tell)
    tell()


def call(source, gateway, host, domain):
    context = create_ssl_context(
        SSL.TLS_CLIENT_METHOD, Snapshot(source), authorize_member_of(domain), SSL.VERIFY_PEER
    )
    address, port = gateway.rsplit(":", 1)
    with socket.create_connection((address, int(port)), timeout=PATIENCE) as plain:
        # pyOpenSSL wants a socket that blocks
        plain.settimeout(None)
        connection = SSL.Connection(context, plain)
        connection.set_tlsext_host_name(host.encode())
        connection.set_connect_state()
        connection.do_handshake()
        request = f"GET /items/1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        status = read(connection).split(b"\r\n", 1)[0].decode("latin-1")
        if " 200 " not in f"{status} ":
            raise RuntimeError(status)


def read(connection):
    answer = b""
    while True:
        try:
            part = connection.recv(16384)
        except SSL.ZeroReturnError:
            return answer
        if not part:
            return answer
        answer += part


def calls(source, gateway, host, domain):
    count = 0
    while True:
        try:
            call(source, gateway, host, domain)
            count += 1
            if count % 20 == 0:
                say(calls=count)
        except Exception as error:  # whatever it is, it is told and the caller goes on
            say(failed=words(error))
        time.sleep(PACE)


def tokens(client):
    while True:
        try:
            svid = client.fetch_jwt_svid(audience={AUDIENCE})
            validated = client.validate_jwt_svid(token=svid.token, audience=AUDIENCE)
            say(jwt=str(validated.spiffe_id))
        except Exception as error:
            say(failed=f"jwt: {words(error)}")
        time.sleep(1)


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: client.py GATEWAY HOST TRUST_DOMAIN")
    gateway, host, domain = sys.argv[1], sys.argv[2], TrustDomain(sys.argv[3])
    with WorkloadApiClient() as client, X509Source(client, timeout_in_seconds=60) as source:
        follow(source, domain)
        threading.Thread(target=tokens, args=(client,), daemon=True).start()
        calls(source, gateway, host, domain)


if __name__ == "__main__":
    main()
