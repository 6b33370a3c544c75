"""Certificates that --make-dev-certs would never make: of other authorities, other names, expired.

    certificates = Certificates(pair.pki / "zone-dmz")
    certificates.make("old", "DNS:core.example.com", expired=True)    # old.pem, old.key
"""

import pathlib
import ssl
import subprocess

from .case import Failed


class Certificates:
    """What authorities in a folder sign. `folder`: where NAME.pem and NAME.key of each are; "ca" is
    the one that `turnpiked --make-dev-certs` has made there."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def _openssl(self, *words) -> None:
        done = subprocess.run(["openssl", *words], cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"openssl {' '.join(words)}: {done.stderr}")

    def authority(self, name: str) -> None:
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "30",
                      "-subj", f"/CN={name}")

    def make(self, name: str, names: str, usage: str = "serverAuth,clientAuth",
             authority: str = "ca", expired: bool = False, common_name: str = "") -> str:
        """NAME.pem and NAME.key. `names`: as in subjectAltName, "" = none."""
        extensions = f"extendedKeyUsage={usage}\n" if usage else ""
        extensions += f"subjectAltName={names}\n" if names else ""
        (self.folder / f"{name}.ext").write_text(extensions)
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr",
                      "-subj", f"/CN={common_name or name}")
        # openssl 3.0 has no way to set the beginning; an end before it is an expired certificate.
        days = "-1" if expired else "30"
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey",
                      f"{authority}.key", "-CAcreateserial", "-days", days, "-extfile",
                      f"{name}.ext", "-out", f"{name}.pem")
        return name

    def context(self, name: str = "", trust: str = "ca") -> ssl.SSLContext:
        """A TLS client that verifies the edge and shows the certificate NAME ("" = none)."""
        context = ssl.create_default_context(cafile=str(self.folder / f"{trust}.pem"))
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    def server_context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context
