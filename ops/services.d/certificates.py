"""A test authority and certificates with names, made by openssl.

Certificates that a server makes for itself carry no names, so no client that
verifies them can connect; these hold localhost and 127.0.0.1.
"""

import dataclasses
import pathlib

from machine import exclusive, need_programs, run, say
from server import services_dir

DAYS = "3650"
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclasses.dataclass
class Certificates:
    """PEM files; keys are PKCS#8. `client` is signed by the same authority, for servers that ask for one; so is
    `expired`, whose time is over."""

    dir: pathlib.Path

    def __post_init__(self):
        self.ca, self.ca_key = self.dir / "ca.pem", self.dir / "ca.key"
        self.server, self.server_key = self.dir / "server.pem", self.dir / "server.key"
        self.client, self.client_key = self.dir / "client.pem", self.dir / "client.key"
        self.expired, self.expired_key = self.dir / "expired.pem", self.dir / "expired.key"


def certificates():
    """The certificates of this services folder, made at the first call."""
    made = Certificates(services_dir() / "tls")
    with exclusive(services_dir() / "tls.lock", "the certificates"):
        if not made.client.exists():
            log = made.dir / "openssl.log"
            need_programs({"openssl": "openssl"}, log)
            say("making a test authority and certificates (openssl)")
            run("make the test authority", [
                "openssl", "req", "-x509", *KEY, "-days", DAYS, "-subj", "/CN=relay test authority",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", made.ca_key, "-out", made.ca], log)
            sign(made, made.server, made.server_key, "localhost", "serverAuth", log)
            sign(made, made.client, made.client_key, "relay test client", "clientAuth", log)
        if not made.expired.exists():
            sign(made, made.expired, made.expired_key, "relay expired client", "clientAuth", made.dir / "openssl.log", PAST)
    return made


# Only `openssl ca` signs for a time of one's choice, and it wants a config.
PAST = ["-startdate", "200101000000Z", "-enddate", "200102000000Z"]
CA_CONFIG = """\
[ca]
default_ca = test
[test]
database = {dir}/index.txt
new_certs_dir = {dir}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
[names]
commonName = supplied
"""


def sign(made, certificate, key, name, usage, log, time=None):
    request, extensions = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
    extensions.write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        f"extendedKeyUsage={usage}\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run(f"make the key of {name}", ["openssl", "req", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request], log)
    unsigned = certificate.with_suffix(".part")  # renamed last: client.pem says that all is there
    if time:
        (made.dir / "index.txt").touch()
        (made.dir / "ca.cnf").write_text(CA_CONFIG.format(dir=made.dir))
        command = ["openssl", "ca", "-batch", "-notext", "-config", made.dir / "ca.cnf", "-cert", made.ca,
                   "-keyfile", made.ca_key, "-extfile", extensions, "-in", request, "-out", unsigned, *time]
    else:
        command = [
            "openssl", "x509", "-req", "-in", request, "-CA", made.ca, "-CAkey", made.ca_key, "-CAcreateserial",
            "-days", DAYS, "-extfile", extensions, "-out", unsigned]
    run(f"sign {name}", command, log)
    unsigned.rename(certificate)
