"""How what travels through Temporal is written and read: as JSON, by pydantic."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter


class PayloadConverter(PydanticPayloadConverter):
    """Raises `ValueError` for what cannot be read, which fails a workflow.

    For any other error, the worker would retry the workflow task without end.
    """

    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: list[type] | None = None
    ) -> list[Any]:
        """Return the values of payloads."""
        try:
            return super().from_payloads(payloads, type_hints)
        except ValueError:
            raise
        except Exception as error:
            reason = error.args[0] if error.args else type(error).__name__
            raise ValueError(f"It is not JSON: {reason}.") from error


DATA_CONVERTER = replace(pydantic_data_converter, payload_converter_class=PayloadConverter)
