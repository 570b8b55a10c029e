"""Scripted brokers that answer all that the advisor asks."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any, Final

from kproducer.protocol.messages.describe_cluster import (
    DESCRIBE_CLUSTER,
    DescribeClusterBroker,
    DescribeClusterResponse,
)
from kproducer.protocol.messages.describe_configs import (
    DESCRIBE_CONFIGS,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from kproducer.protocol.messages.describe_quorum import (
    DESCRIBE_QUORUM,
    DescribeQuorumResponse,
    QuorumPartitionState,
    QuorumTopicState,
    ReplicaState,
)
from kproducer.protocol.messages.metadata import METADATA, MetadataResponse
from tests.fakes.scripted_broker import (
    NEWEST,
    VERSION_TABLES,
    Handler,
    Received,
    ScriptedBroker,
    ScriptedCluster,
)

ADMIN_VERSIONS: Final = {32: (1, 4), 55: (0, 2), 60: (0, 2)}
SETTINGS: Final = {
    "min.insync.replicas": "1",
    "max.message.bytes": "1048588",
    "auto.create.topics.enable": "true",
    "transaction.max.timeout.ms": "900000",
}
WRITE: Final = 1 << 4


def settings_answer(changed: dict[str, str | None] | None = None, error_code: int = 0) -> Handler:
    """Tell settings, some of them changed, or refuse."""
    values: dict[str, str | None] = {**SETTINGS, **(changed or {})}

    def answer(request: Received) -> DescribeConfigsResponse:
        return DescribeConfigsResponse(
            results=tuple(
                DescribeConfigsResult(
                    error_code=error_code,
                    resource_type=resource.resource_type,
                    resource_name=resource.resource_name,
                    configs=()
                    if error_code
                    else tuple(
                        DescribeConfigsResourceResult(name=name, value=values[name])
                        for name in resource.configuration_keys
                        if name in values
                    ),
                )
                for resource in request.body.resources
            )
        )

    return answer


def clock_answer(skew_ms: float = 0.0, error_code: int = 0, replica: int = 1) -> Handler:
    """Tell the controller's time."""

    def answer(request: Received) -> DescribeQuorumResponse:
        leader = ReplicaState(replica_id=replica, last_caught_up_timestamp=int(time.time() * 1000 + skew_ms))
        old = ReplicaState(replica_id=2, last_caught_up_timestamp=1)
        state = QuorumPartitionState(leader_id=1, current_voters=(old, leader))
        return DescribeQuorumResponse(
            error_code=error_code,
            topics=(QuorumTopicState(topic_name="__cluster_metadata", partitions=(state,)),),
        )

    return answer


def cluster_answer(*fenced: int) -> Handler:
    """Tell broker 1 and these fenced ones."""

    def answer(request: Received) -> DescribeClusterResponse:
        assert request.body.include_fenced_brokers
        alive = DescribeClusterBroker(broker_id=1)
        return DescribeClusterResponse(
            brokers=(alive, *(DescribeClusterBroker(broker_id=n, is_fenced=True) for n in fenced))
        )

    return answer


def with_operations(broker: ScriptedBroker, operations: int) -> Handler:
    """Tell the true metadata with these authorized operations."""
    plain = broker.default(METADATA)

    def answer(request: Received) -> MetadataResponse:
        response: MetadataResponse = plain(request)
        if not request.body.include_topic_authorized_operations:
            return response
        topics = tuple(replace(topic, topic_authorized_operations=operations) for topic in response.topics)
        return replace(response, topics=topics)

    return answer


def scripted(cluster: ScriptedCluster, node_id: int = 1, versions: Any = None) -> ScriptedBroker:
    """Return a broker, not started, that finds nothing wrong."""
    found = ScriptedBroker(
        cluster, node_id=node_id, versions=versions or {**VERSION_TABLES[NEWEST], **ADMIN_VERSIONS}
    )
    found.on(METADATA, with_operations(found, WRITE))
    found.on(DESCRIBE_CONFIGS, settings_answer())
    found.on(DESCRIBE_QUORUM, clock_answer())
    found.on(DESCRIBE_CLUSTER, cluster_answer())
    return found


def unused_address() -> str:
    """Return an address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
