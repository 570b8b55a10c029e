"""Java's keys of features that are not built, and those that mean something to a JVM only: the table's second half."""

from __future__ import annotations

from typing import Final

from kproducer.config.keys import Key, Status
from kproducer.config.values import INT_MAX, LONG_MAX, Choice, Decimal, Flag, Names, Text, ValueKind, Whole

_JWT: Final = "org.apache.kafka.common.security.oauthbearer."
_COUNT: Final = Whole(0, INT_MAX)
_LONG: Final = Whole(0, LONG_MAX)
_CLASS: Final = Text("class")
_PASSWORD: Final = Text("password")


def _off(
    name: str, kind: ValueKind, default: object, doc: str, kip: int | None = None, alias: str = ""
) -> Key:
    is_secret = kind is _PASSWORD
    return Key(name, kind, default, doc, (alias,) if alias else (), kip, Status.NOT_BUILT, is_secret)


def _jvm(name: str, kind: ValueKind, default: object, doc: str, kip: int | None = None) -> Key:
    return Key(name, kind, default, doc, (), kip, Status.JVM_ONLY)


# One argument a line would make this table five screens longer.
# fmt: off
NOT_BUILT_KEYS: Final[tuple[Key, ...]] = (
    _off("partitioner.rack.aware", Flag(), False,
         "Whether records without a key go to partitions whose leader is in the same rack."),
    _off("client.rack", Text(), "", "Rack that the producer runs in."),
    _off("transaction.two.phase.commit.enable", Flag(), False,
         "Whether an outside coordinator decides the end of transactions.", 939),
    _off("bootstrap.resolve.timeout.ms", _LONG, 0, "Time that resolving bootstrap.servers may take altogether."),
    _off("metadata.cluster.check.enable", Flag(), False,
         "Whether brokers are asked if they belong to the cluster that is meant; Java's default is true."),
    _off("config.providers", Names(), (), "Where ${...} in values is looked up.", 297),

    _off("enable.metrics.push", Flag(), False,
         "Whether the broker may ask for metrics of the client; Java's default is true.", 714),

    _off("ssl.protocol", Text(), "TLSv1.3", "TLS version that is preferred."),
    _off("ssl.enabled.protocols", Names(), ("TLSv1.2", "TLSv1.3"), "TLS versions that are allowed."),
    _off("ssl.cipher.suites", Names(), (), "Cipher suites that are allowed; empty for the library's own."),
    _off("ssl.keystore.type", Text(), "JKS", "Format of the key store: JKS, PKCS12 or PEM."),
    _off("ssl.keystore.location", Text(), None, "File of the client's key and certificate."),
    _off("ssl.keystore.password", _PASSWORD, None, "Password of the key store."),
    _off("ssl.keystore.key", _PASSWORD, None, "The client's key itself, in PEM.", 651, "ssl.key.pem"),
    _off("ssl.keystore.certificate.chain", _PASSWORD, None, "The client's certificates themselves, in PEM.", 651,
         "ssl.certificate.pem"),
    _off("ssl.key.password", _PASSWORD, None, "Password of the client's key."),
    _off("ssl.truststore.type", Text(), "JKS", "Format of the trust store: JKS, PKCS12 or PEM."),
    _off("ssl.truststore.location", Text(), None, "File of the authorities that are trusted."),
    _off("ssl.truststore.password", _PASSWORD, None, "Password of the trust store."),
    _off("ssl.truststore.certificates", _PASSWORD, None, "Trusted certificates themselves, in PEM.", 651,
         "ssl.ca.pem"),
    _off("ssl.endpoint.identification.algorithm", Text(), "https",
         "How the broker's name is compared with its certificate; empty for not at all.", 294),

    _off("sasl.mechanism", Text(), "GSSAPI", "How the client proves who it is.", 43, "sasl.mechanisms"),
    _off("sasl.jaas.config", _PASSWORD, None, "Login of the client, in the words of JAAS.", 85),
    _off("sasl.client.callback.handler.class", _CLASS, None, "Java class that answers the mechanism.", 86),
    _off("sasl.login.callback.handler.class", _CLASS, None, "Java class that logs in.", 86),
    _off("sasl.login.class", _CLASS, None, "Java class of the login.", 86),
    _off("sasl.kerberos.service.name", Text(), None, "Kerberos name of the brokers' service."),
    _off("sasl.kerberos.kinit.cmd", Text(), "/usr/bin/kinit", "Program that gets a Kerberos ticket."),
    _off("sasl.kerberos.min.time.before.relogin", _LONG, 60_000, "Least time in ms between two logins."),
    _off("sasl.kerberos.ticket.renew.jitter", Decimal(0, 1), 0.05, "Random part of the time of renewal."),
    _off("sasl.kerberos.ticket.renew.window.factor", Decimal(0, 1), 0.8,
         "Part of a ticket's life after which it is renewed."),
    _off("sasl.login.connect.timeout.ms", _COUNT, None, "Time that connecting to the identity provider may take.", 768),
    _off("sasl.login.read.timeout.ms", _COUNT, None, "Time that the identity provider's answer may take.", 768),
    _off("sasl.login.refresh.buffer.seconds", Whole(0, 3600), 300,
         "Least time in seconds between a refresh and the end of the token.", 255),
    _off("sasl.login.refresh.min.period.seconds", Whole(0, 900), 60, "Least time in seconds before a refresh.", 255),
    _off("sasl.login.refresh.window.factor", Decimal(0.5, 1), 0.8,
         "Part of a token's life after which it is refreshed.", 255),
    _off("sasl.login.refresh.window.jitter", Decimal(0, 0.25), 0.05, "Random part of the time of refresh.", 255),
    _off("sasl.login.retry.backoff.ms", _LONG, 100, "First delay before a login is tried again.", 768),
    _off("sasl.login.retry.backoff.max.ms", _LONG, 10_000, "Longest delay before a login is tried again.", 768),

    _off("sasl.oauthbearer.token.endpoint.url", Text(), None, "Where the identity provider gives tokens.", 768),
    _off("sasl.oauthbearer.client.credentials.client.id", Text(), None, "Name of the client there.", 1139,
         "sasl.oauthbearer.client.id"),
    _off("sasl.oauthbearer.client.credentials.client.secret", _PASSWORD, None, "Secret of the client there.", 1139,
         "sasl.oauthbearer.client.secret"),
    _off("sasl.oauthbearer.scope", Text(), None, "Scope that is asked for.", 1139),
    _off("sasl.oauthbearer.assertion.algorithm", Choice(("RS256", "ES256"), ignores_case=True), "RS256",
         "How the client signs an assertion.", 1139),
    _off("sasl.oauthbearer.assertion.file", Text(), None, "File of a ready assertion.", 1139),
    _off("sasl.oauthbearer.assertion.private.key.file", Text(), None, "File of the key that signs assertions.", 1139),
    _off("sasl.oauthbearer.assertion.private.key.passphrase", _PASSWORD, None, "Passphrase of that key.", 1139),
    _off("sasl.oauthbearer.assertion.template.file", Text(), None, "File of an assertion's header and claims.", 1139,
         "sasl.oauthbearer.assertion.jwt.template.file"),
    _off("sasl.oauthbearer.assertion.claim.aud", Text(), None, "Audience of assertions.", 1139),
    _off("sasl.oauthbearer.assertion.claim.iss", Text(), None, "Issuer of assertions.", 1139),
    _off("sasl.oauthbearer.assertion.claim.sub", Text(), None, "Subject of assertions.", 1139),
    _off("sasl.oauthbearer.assertion.claim.exp.seconds", Whole(0, 86_400), 300, "Life of assertions in seconds.", 1139),
    _off("sasl.oauthbearer.assertion.claim.nbf.seconds", Whole(0, 3_600), 60,
         "Seconds before now from which assertions are valid.", 1139),
    _off("sasl.oauthbearer.assertion.claim.jti.include", Flag(), False, "Whether assertions get an id.", 1139),
    _off("sasl.oauthbearer.jwt.retriever.class", _CLASS, _JWT + "DefaultJwtRetriever",
         "Java class that gets tokens.", 1139),
    _off("sasl.oauthbearer.jwt.validator.class", _CLASS, _JWT + "DefaultJwtValidator",
         "Java class that checks tokens.", 1139),
    _off("sasl.oauthbearer.scope.claim.name", Text(), "scope", "Claim that holds the scope.", 768),
    _off("sasl.oauthbearer.sub.claim.name", Text(), "sub", "Claim that holds the subject.", 768),
    _off("sasl.oauthbearer.header.urlencode", Flag(), False, "Whether the client's name and secret are URL-encoded."),
    _off("sasl.oauthbearer.clock.skew.seconds", _COUNT, 30, "Seconds that clocks may differ; for brokers.", 768),
    _off("sasl.oauthbearer.expected.audience", Names(), (), "Audience that tokens must have; for brokers.", 768),
    _off("sasl.oauthbearer.expected.issuer", Text(), None, "Issuer that tokens must have; for brokers.", 768),
    _off("sasl.oauthbearer.allow.unverified.audience", Flag(), False, "Whether any audience will do; for brokers."),
    _off("sasl.oauthbearer.allow.unverified.issuer", Flag(), False, "Whether any issuer will do; for brokers."),
    _off("sasl.oauthbearer.jwks.endpoint.url", Text(), None, "Where the provider's keys are; for brokers.", 768),
    _off("sasl.oauthbearer.jwks.endpoint.refresh.ms", _LONG, 3_600_000, "Age of those keys; for brokers.", 768),
    _off("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", _LONG, 100,
         "First delay before they are asked for again; for brokers.", 768),
    _off("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", _LONG, 10_000,
         "Longest delay before they are asked for again; for brokers.", 768),

    _jvm("metric.reporters", Names(), ("org.apache.kafka.common.metrics.JmxReporter",),
         "Java classes that publish metrics; here metrics() returns them."),
    _jvm("buffer.memory.allocation.strategy", Choice(("FULL", "INCREMENTAL"), ignores_case=True), "FULL",
         "How Java takes the memory of a batch."),
    _jvm("security.providers", Text(), None, "Java classes that provide cryptography.", 492),
    _jvm("ssl.provider", Text(), None, "Java's provider of TLS."),
    _jvm("ssl.keymanager.algorithm", Text(), "SunX509", "Java's algorithm for the key store."),
    _jvm("ssl.trustmanager.algorithm", Text(), "PKIX", "Java's algorithm for the trust store."),
    _jvm("ssl.secure.random.implementation", Text(), None, "Java's random number generator for TLS."),
    _jvm("ssl.engine.factory.class", _CLASS, None, "Java class that makes TLS engines.", 519),
)
# fmt: on
