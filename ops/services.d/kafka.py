"""Apache Kafka: one KRaft node, broker and controller in one process.

The jars come from Maven; the project publishes no runnable package there, and its
POMs leave the logging back end out, so that one is added. kafka_2.13 alone runs
the broker; kafka-tools adds the console tools (org.apache.kafka.tools.*).

4.3.1 because 4.4.0's POM asks for a kafka-tools-api that is not published (RELAY_KAFKA_VERSION
tries another). It needs Java 17.

Clients: a librdkafka older than 2.6.1, Debian 12's kcat among them, cannot do SCRAM against
Kafka 4 (confluentinc/librdkafka #4895); let it use PLAIN on the same listeners.
"""

import base64
import os
import pathlib
import uuid

import cache
from certificates import certificates
from machine import Failure, answer, java_version, need_programs, run, say
from server import Server

VERSION = os.environ.get("RELAY_KAFKA_VERSION") or "4.3.1"
LOG4J = "2.25.4"  # the log4j-core that kafka 4.3 itself depends on
JAVA_MIN = 17
# Kafka's own default. Less for a node that is killed often: see PROPERTIES.
SESSION_MS = int(os.environ.get("RELAY_KAFKA_SESSION_MS") or 9000)
USER = PASSWORD = "relay"

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>kafka-run</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{kafka}</version></dependency>
<!-- slf4j-api is 1.7: its binding is log4j-slf4j-impl, not log4j-slf4j2-impl. -->
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>{log4j}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{log4j}</version></dependency>
</dependencies></project>
"""

LOGGING = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
logger.start.name = kafka.server.KafkaRaftServer
logger.start.level = INFO
"""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl},SASL_SSL://127.0.0.1:{sasl_ssl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl},SASL_SSL://127.0.0.1:{sasl_ssl}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=requested
# ACLs can be tried: PLAINTEXT may do everything, others until a resource has its first ACL.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
auto.create.topics.enable=false
log.dirs={data}
# A killed node may come back only when the controller has forgotten it; one that gets no processor for as long has no
# leaders until it is heard of again.
broker.session.timeout.ms={session_ms}
broker.heartbeat.interval.ms=500
# One node: the defaults of three replicas would never be met.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Small: a first start creates these partitions, and the cleaner's default takes 128 MB of heap.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=16777216
group.initial.rebalance.delay.ms=0
"""


class Kafka(Server):
    name = "kafka"
    ports = 5  # PLAINTEXT, SASL_PLAINTEXT, SSL, SASL_SSL, controller

    def fetch(self):
        need_programs({"kcat": "kcat", "java": "default-jre-headless"}, self.steps_log)
        java = java_version()
        if java < JAVA_MIN:
            raise Failure(f"kafka: java is version {java}, it needs {JAVA_MIN}",
                          remedy=f"put a Java {JAVA_MIN} or later first on the PATH")
        home = os.environ.get("KAFKA_HOME")
        if home:
            self.libs = pathlib.Path(home) / "libs"
            if not list(self.libs.glob("kafka_*.jar")):
                raise Failure(f"KAFKA_HOME={home} holds no libs/kafka_*.jar", remedy="correct or unset it")
        else:
            self.libs = cache.fill("kafka", fetch_from_maven, VERSION) / "libs"

    def version(self):
        jar = next(self.libs.glob("kafka-clients-*.jar")).name
        return jar[len("kafka-clients-"):-len(".jar")]

    def prepare(self):
        tls = certificates()
        # Kafka reads one PEM file with key and certificate.
        keystore = self.dir / "keystore.pem"
        keystore.touch(mode=0o600)
        keystore.write_text(tls.server_key.read_text() + tls.server.read_text())
        (self.dir / "log4j2.properties").write_text(LOGGING)
        plain, sasl, ssl, sasl_ssl, controller = self.state["ports"]
        properties = PROPERTIES.format(
            plain=plain, sasl=sasl, ssl=ssl, sasl_ssl=sasl_ssl, controller=controller,
            keystore=keystore, truststore=tls.ca, data=self.datadir, session_ms=SESSION_MS)
        for listener in ("sasl_plaintext", "sasl_ssl"):
            properties += (f"listener.name.{listener}.plain.sasl.jaas.config="
                           "org.apache.kafka.common.security.plain.PlainLoginModule required "
                           f'user_{USER}="{PASSWORD}";\n')
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                properties += (f"listener.name.{listener}.{mechanism}.sasl.jaas.config="
                               "org.apache.kafka.common.security.scram.ScramLoginModule required;\n")
        (self.dir / "server.properties").write_text(properties)
        # "A" first: an id that begins with "-" would be read as an option.
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        scram = [part for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                 for part in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")]
        run("kafka: format the data folder",
            self.java("-Xmx256m", "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "-t", cluster,
                      "-c", self.dir / "server.properties", *scram), self.log)

    def java(self, *arguments):
        return ["java", f"-Dlog4j2.configurationFile={self.dir / 'log4j2.properties'}",
                "-cp", f"{self.libs}/*", *arguments]

    def command(self):
        return self.java("-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError",
                         "kafka.Kafka", self.dir / "server.properties"), {}

    def ready(self):
        return answer(["kcat", "-L", "-J", "-m", "2", "-b", f"127.0.0.1:{self.port()}"]) is not None

    def addresses(self):
        plain, sasl, ssl, sasl_ssl = (f"127.0.0.1:{port}" for port in self.state["ports"][:4])
        return {
            "KAFKA_BROKERS": plain,
            "KAFKA_SASL_BROKERS": sasl,
            "KAFKA_SSL_BROKERS": ssl,
            "KAFKA_SASL_SSL_BROKERS": sasl_ssl,
            "KAFKA_CA": certificates().ca,
            "KAFKA_CLIENT_CERT": certificates().client,
            "KAFKA_CLIENT_KEY": certificates().client_key,
            "KAFKA_EXPIRED_CERT": certificates().expired,
            "KAFKA_EXPIRED_KEY": certificates().expired_key,
            "KAFKA_USER": USER,
            "KAFKA_PASSWORD": PASSWORD,
            "KAFKA_CLASSPATH": self.state["classpath"],
            "KAFKA_DATADIR": self.datadir,
        }

    def launch(self):
        self.state["classpath"] = f"{self.libs}/*"  # for the console tools
        super().launch()


def fetch_from_maven(part):
    log = cache.cache_dir() / "kafka-fetch.log"
    log.unlink(missing_ok=True)
    need_programs({"mvn": "maven"}, log)
    say(f"kafka: fetching {VERSION} with its dependencies (maven), about 55 MB")
    (part / "pom.xml").write_text(POM.format(kafka=VERSION, log4j=LOG4J))
    run(f"kafka: fetch {VERSION}", [
        "mvn", "--batch-mode", "--quiet", "--file", part / "pom.xml", "dependency:copy-dependencies",
        "-DincludeScope=runtime", f"-DoutputDirectory={part / 'libs'}"], log,
        "check that maven reaches a repository (~/.m2/settings.xml), or set KAFKA_HOME to a Kafka you have")
    return VERSION
