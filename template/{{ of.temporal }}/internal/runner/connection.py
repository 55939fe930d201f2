"""The connection to Temporal, by the variables that all of Temporal's clients know."""

import logging
import os
from functools import cache

from dotenv import dotenv_values
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile, ClientConnectConfig
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig
from temporalio.service import GrpcCompression, RetryConfig

from internal.config import Settings
from internal.runner.payloads import DATA_CONVERTER

# One call may take this long to find the server before it fails.
_RETRY = RetryConfig(max_elapsed_time_millis=2_000)


async def connect(settings: Settings, *, lazy: bool = False) -> Client:
    """Connect at once or, if `lazy`, at the first call; raise `RuntimeError` if that fails."""
    return await Client.connect(
        **connection(settings),
        data_converter=DATA_CONVERTER,
        retry_config=_RETRY,
        # Jobs are small: to compress each call costs more time than it saves.
        grpc_compression=GrpcCompression.NONE,
        runtime=_runtime(),
        lazy=lazy,
    )


def connection(settings: Settings) -> ClientConnectConfig:
    """Read the address, the namespace, the API key and TLS from the environment and `.env`."""
    environment = {
        name: value
        for source in (dotenv_values(".env"), os.environ)
        for name, value in source.items()
        # To Temporal an empty variable is a value: an empty API key would turn TLS on.
        if value
    }
    profile = ClientConfigProfile.load(override_env_vars=environment)
    return {
        "target_host": settings.temporal_address,
        "namespace": settings.temporal_namespace,
        **profile.to_client_connect_config(),
    }


@cache
def _runtime() -> Runtime:
    # The SDK's core would write to standard error by itself. Of its client and of heartbeats only
    # errors are wanted: it warns at every call that it repeats, and the worker says when it must.
    heartbeats = "temporalio_sdk_core::worker::activities::activity_heartbeat_manager"
    logging_config = LoggingConfig(
        filter=f"ERROR,temporalio_sdk_core=WARN,{heartbeats}=ERROR",
        forwarding=LogForwardingConfig(
            logger=logging.getLogger("temporalio.core"), prepend_target_on_message=False
        ),
    )
    return Runtime(telemetry=TelemetryConfig(logging=logging_config))
