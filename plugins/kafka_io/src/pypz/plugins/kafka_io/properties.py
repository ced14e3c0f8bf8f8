"""Names of librdkafka's configuration properties by whom they concern, and what pypz does not leave to users.

The names are those of librdkafka 2.16 (its CONFIGURATION.md), without callbacks and what only programs can set.
"""

from __future__ import annotations

from typing import Final

COMMON: Final = frozenset(
    """
    allow.auto.create.topics api.version.fallback.ms api.version.request api.version.request.timeout.ms
    bootstrap.servers broker.address.family broker.address.ttl broker.version.fallback builtin.features
    client.dns.lookup client.id client.rack connections.max.idle.ms debug enable.metrics.push enable.random.seed
    enable.sasl.oauthbearer.unsecure.jwt enable.ssl.certificate.verification https.ca.location https.ca.pem
    internal.termination.signal log.connection.close log.queue log.thread.name log_level
    max.in.flight max.in.flight.requests.per.connection message.copy.max.bytes message.max.bytes
    metadata.broker.list metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy
    plugin.library.paths receive.message.max.bytes reconnect.backoff.jitter.ms reconnect.backoff.max.ms
    reconnect.backoff.ms retry.backoff.max.ms retry.backoff.ms
    sasl.kerberos.keytab sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin sasl.kerberos.principal
    sasl.kerberos.service.name sasl.mechanism sasl.mechanisms
    sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud
    sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss
    sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds
    sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file
    sasl.oauthbearer.assertion.jwt.template.file sasl.oauthbearer.assertion.private.key.file
    sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem
    sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret
    sasl.oauthbearer.client.id sasl.oauthbearer.client.secret sasl.oauthbearer.config sasl.oauthbearer.extensions
    sasl.oauthbearer.grant.type sasl.oauthbearer.metadata.authentication.type sasl.oauthbearer.method
    sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url sasl.password sasl.username
    security.protocol socket.blocking.max.ms socket.connection.setup.timeout.ms socket.keepalive.enable
    socket.max.fails socket.nagle.disable socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms
    ssl.ca.certificate.stores ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem
    ssl.cipher.suites ssl.crl.location ssl.curves.list ssl.endpoint.identification.algorithm ssl.engine.id
    ssl.engine.location ssl.key.location ssl.key.password ssl.key.pem ssl.keystore.location ssl.keystore.password
    ssl.providers ssl.sigalgs.list statistics.interval.ms topic.blacklist topic.metadata.propagation.max.ms
    topic.metadata.refresh.fast.cnt topic.metadata.refresh.fast.interval.ms topic.metadata.refresh.interval.ms
    topic.metadata.refresh.sparse
    """.split()
)
"""For every client."""

PRODUCER: Final = frozenset(
    """
    acks batch.num.messages batch.size compression.codec compression.level compression.type
    delivery.report.only.error delivery.timeout.ms enable.gapless.guarantee enable.idempotence linger.ms
    message.send.max.retries message.timeout.ms partitioner queue.buffering.backpressure.threshold
    queue.buffering.max.kbytes queue.buffering.max.messages queue.buffering.max.ms queuing.strategy
    request.required.acks request.timeout.ms retries sticky.partitioning.linger.ms transaction.timeout.ms
    transactional.id
    """.split()
)
"""For clients that write."""

CONSUMER: Final = frozenset(
    """
    auto.commit.enable auto.commit.interval.ms auto.offset.reset check.crcs consume.callback.max.messages
    coordinator.query.interval.ms enable.auto.commit enable.auto.offset.store enable.partition.eof
    fetch.error.backoff.ms fetch.max.bytes fetch.message.max.bytes fetch.min.bytes fetch.queue.backoff.ms
    fetch.wait.max.ms group.id group.instance.id group.protocol group.protocol.type group.remote.assignor
    heartbeat.interval.ms isolation.level max.partition.fetch.bytes max.poll.interval.ms offset.store.method
    partition.assignment.strategy queued.max.messages.kbytes queued.min.messages session.timeout.ms
    """.split()
)
"""For clients that read."""

SECRET: Final = frozenset(
    """
    sasl.password sasl.oauthbearer.client.secret sasl.oauthbearer.client.credentials.client.secret
    sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem
    sasl.oauthbearer.config ssl.key.password ssl.key.pem ssl.keystore.password
    """.split()
)
"""Their values appear in no message, log or repr."""

FILES: Final = frozenset(
    """
    sasl.kerberos.keytab sasl.oauthbearer.assertion.file sasl.oauthbearer.assertion.jwt.template.file
    sasl.oauthbearer.assertion.private.key.file ssl.ca.location ssl.certificate.location ssl.crl.location
    ssl.key.location ssl.keystore.location
    """.split()
)
"""Their values are paths of files; ``ssl.ca.location`` may be a folder, too, or ``probe``."""

_LOCATION = "the port's channelLocation says it"
_POSITIONS = "pypz stores positions itself, together with the outputs they belong to"
_STATIC = "pypz assigns partitions by the group index"
_SAFE = "a record counts as sent only when all replicas have it, once and in order"
_TRANSACTIONS = "pypz makes transactions itself (operator parameter deliveryGuarantee)"

GOVERNED: Final[dict[str, tuple[frozenset[str], str]]] = {
    "bootstrap.servers": (frozenset(), _LOCATION),
    "metadata.broker.list": (frozenset(), _LOCATION),
    "allow.auto.create.topics": (frozenset({"false"}), "channels are made by the principal reader, never by accident"),
    "enable.idempotence": (frozenset({"true"}), _SAFE),
    "acks": (frozenset({"all", "-1"}), _SAFE),
    "request.required.acks": (frozenset({"all", "-1"}), _SAFE),
    "message.timeout.ms": (frozenset({"0"}), "a block given up would leave a gap; sendTimeoutMs bounds the waiting"),
    "delivery.timeout.ms": (frozenset({"0"}), "a block given up would leave a gap; sendTimeoutMs bounds the waiting"),
    "queuing.strategy": (frozenset({"fifo"}), _SAFE),
    "delivery.report.only.error": (frozenset({"false"}), "a flush waits for the report of each block"),
    "partitioner": (frozenset(), "pypz chooses the partition of a block"),
    "transactional.id": (frozenset(), _TRANSACTIONS),
    "transaction.timeout.ms": (frozenset(), _TRANSACTIONS),
    "enable.auto.commit": (frozenset({"false"}), _POSITIONS),
    "auto.commit.enable": (frozenset({"false"}), _POSITIONS),
    "auto.commit.interval.ms": (frozenset(), _POSITIONS),
    "enable.auto.offset.store": (frozenset({"false"}), _POSITIONS),
    "offset.store.method": (frozenset({"broker"}), _POSITIONS),
    "auto.offset.reset": (frozenset({"error"}), "a reader never skips or repeats records in silence"),
    "isolation.level": (frozenset({"read_committed"}), "records of aborted units must not be seen"),
    "enable.partition.eof": (frozenset({"false"}), "the end of a channel is told by its writers"),
    "group.id": (frozenset(), "the group is named after the operator"),
    "group.instance.id": (frozenset(), _STATIC),
    "group.protocol": (frozenset(), _STATIC),
    "group.protocol.type": (frozenset(), _STATIC),
    "group.remote.assignor": (frozenset(), _STATIC),
    "partition.assignment.strategy": (frozenset(), _STATIC),
    "log.queue": (frozenset(), "pypz routes the client's log lines to the logger 'pypz.plugins.kafka_io'"),
}
"""What pypz decides: the values that may be given all the same, and why no other."""
