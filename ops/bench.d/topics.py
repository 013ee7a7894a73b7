"""Topics of the benches' own, through Kafka's own tools and kcat."""

import subprocess
import time
import uuid


def tool(env, name, *arguments):
    done = subprocess.run(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", env["KAFKA_CLASSPATH"], name,
                           "--bootstrap-server", env["KAFKA_BROKERS"], *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{name} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def create(env, partitions):
    topic = f"bench-{uuid.uuid4().hex[:12]}"
    tool(env, "org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic, "--partitions", str(partitions),
         "--replication-factor", "1")
    return topic


def delete(env, *topics):
    for topic in topics:
        tool(env, "org.apache.kafka.tools.TopicCommand", "--delete", "--topic", topic)


def count(env, topic):
    """Records in the topic, by its end offsets."""
    done = subprocess.run(["kcat", "-b", env["KAFKA_BROKERS"], "-Q"] + [
        part for p in range(4) for part in ("-t", f"{topic}:{p}:-1")], capture_output=True, text=True)
    return sum(int(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines() if "offset" in line)


def wait_until(env, topic, records, relay, patience=900):
    deadline = time.monotonic() + patience
    while count(env, topic) < records:
        if time.monotonic() > deadline or not relay.child.alive():
            raise RuntimeError(f"{topic} holds {count(env, topic)} of {records} records; see {relay.output.name}")
        time.sleep(0.5)
