"""Kafka seen through confluent-kafka.

  client.py create BROKERS TOPIC:PARTITIONS...   creates topics
  client.py read BROKERS TOPIC                   prints the values of a topic's records, one a line as a JSON string, null
                                                 for a tombstone: those of committed transactions (read_committed), up to
                                                 the topic's end as it is now
"""

import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE = 60  # seconds


def create(brokers, topics):
    wanted = []
    for topic in topics:
        name, partitions = topic.rsplit(":", 1)
        wanted.append(NewTopic(name, num_partitions=int(partitions), replication_factor=1))
    client = AdminClient({"bootstrap.servers": brokers})  # what it promises ends with it
    for done in client.create_topics(wanted, operation_timeout=PATIENCE).values():
        done.result()


def read(brokers, topic):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reads-once", "enable.auto.commit": False,
                         "isolation.level": "read_committed", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, PATIENCE).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    open_partitions = set(partitions)
    while open_partitions:
        message = consumer.poll(PATIENCE)
        if message is None:
            sys.exit(f"nothing came for {PATIENCE} s")
        error = message.error()
        if error is None:
            value = message.value()
            print(json.dumps(None if value is None else value.decode()))
        elif error.code() == KafkaError._PARTITION_EOF:
            open_partitions.discard(message.partition())
        else:
            raise KafkaException(error)
    consumer.close()


if __name__ == "__main__":
    command, brokers, *rest = sys.argv[1:]
    if command == "create":
        create(brokers, rest)
    else:
        read(brokers, *rest)
