"""A schema registry: Apicurio, in memory, which speaks the interface of Confluent's registry.

Confluent's own is in no public repository of packages but theirs, and under a licence of its own. Apicurio's
application comes from Maven as one archive. 3.0.9 because later ones need Java 21 (RELAY_REGISTRY_VERSION
tries another).
"""

import os
import urllib.request

import cache
from certificates import certificates
from machine import Failure, java_version, need_programs, run, say
from server import Server

VERSION = os.environ.get("RELAY_REGISTRY_VERSION") or "3.0.9"
JAVA_MIN = 17
API = "/apis/ccompat/v7"


class Registry(Server):
    name = "registry"
    ports = 2  # HTTP, HTTPS
    start_seconds = 180  # a JVM that unpacks some hundred jars beside a busy build

    def fetch(self):
        need_programs({"java": "default-jre-headless"}, self.steps_log)
        java = java_version()
        if java < JAVA_MIN:
            raise Failure(f"registry: java is version {java}, it needs {JAVA_MIN}",
                          remedy=f"put a Java {JAVA_MIN} or later first on the PATH")
        self.home = cache.fill("registry", fetch_from_maven, VERSION)

    def version(self):
        return self.home.name.removeprefix("registry-")

    def prepare(self):
        self.datadir.mkdir(parents=True, exist_ok=True)

    def command(self):
        jar = next(self.home.glob("*-runner.jar"))
        tls = certificates()
        # Its database is H2 in memory: it forgets everything when it ends.
        environment = {
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self.port()),
            "QUARKUS_HTTP_SSL_PORT": str(self.port(1)),
            "QUARKUS_HTTP_SSL_CERTIFICATE_FILES": str(tls.server),
            "QUARKUS_HTTP_SSL_CERTIFICATE_KEY_FILES": str(tls.server_key),
            "QUARKUS_HTTP_INSECURE_REQUESTS": "enabled",
        }
        return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar", jar], environment

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port()}{API}/subjects", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def addresses(self):
        return {
            "REGISTRY_URL": f"http://127.0.0.1:{self.port()}{API}",
            "REGISTRY_SSL_URL": f"https://127.0.0.1:{self.port(1)}{API}",
            "REGISTRY_CA": certificates().ca,
        }


def fetch_from_maven(part):
    log = cache.cache_dir() / "registry-fetch.log"
    log.unlink(missing_ok=True)
    need_programs({"mvn": "maven"}, log)
    say(f"registry: fetching {VERSION} (maven), about 110 MB")
    artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
    run(f"registry: fetch {VERSION}", [
        "mvn", "--batch-mode", "--quiet", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={part}"],
        log, "check that maven reaches a repository (~/.m2/settings.xml)")
    archive = next(part.glob("*.tar.gz"))
    run("registry: unpack", ["tar", "-xzf", archive, "-C", part], log)
    archive.unlink()
    return VERSION
