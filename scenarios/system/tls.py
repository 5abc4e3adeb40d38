"""Which certificates are trusted, by single requests and under load alike.

Imported inside Locust too, where `ssl` is gevent's: a context is made where it is used.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi

from results.errors import UsageError


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """The flags about a target's certificate; else the environment's, else certifi's list."""

    cacert: str | None = None  # a file of certificates that may have signed it
    insecure: bool = False  # whether any certificate will do

    @classmethod
    def from_flags(cls, cacert: Path | None, url: str, *, insecure: bool) -> "TlsTrust":
        """Return the trust that flags describe. Raises AtonceError for an unreadable file."""
        trust = cls(str(cacert.absolute()) if cacert else None, insecure)
        if not cacert and not url.startswith("https:"):
            return trust
        name = "--cacert" if cacert else "SSL_CERT_FILE"
        try:
            trust.ssl_context()
        except OSError as error:
            is_tls = isinstance(error, ssl.SSLError)
            why = "it has no readable certificate" if is_tls else error.strerror or error
            what = f"invalid {name} {cacert or os.environ.get(name)}"
            raise UsageError(f"{what}: {why}. It must be a PEM file of certificates.") from error
        return trust

    def ssl_context(self) -> ssl.SSLContext:
        """Return the context for a client."""
        if self.insecure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context
        file = self.cacert or os.environ.get("SSL_CERT_FILE")
        folder = None if self.cacert else os.environ.get("SSL_CERT_DIR")
        usual = None if folder else certifi.where()
        return ssl.create_default_context(cafile=file or usual, capath=folder)


DEFAULT_TLS_TRUST = TlsTrust()


def certificate_advice(error: BaseException | None) -> str | None:
    """Say why a certificate made a connection fail, and what to do; None for another cause."""
    while error:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message.rstrip(".")
            advice = "Give the certificate that signed it: --cacert FILE; or accept any: --insecure"
            return f"its certificate is not trusted ({why}). {advice}"
        error = error.__cause__ or error.__context__
    return None
