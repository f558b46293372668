"""What a spend cost is on the OpenTelemetry span of the work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from tallybase import InsufficientCredits
from tallybase.testing import FakeCredits


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Iterator[Tracer]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("tests")
    provider.shutdown()


def test_a_span_carries_the_receipt(
    fake_credits: FakeCredits, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    with tracer.start_as_current_span("work"), fake_credits.run(run_id="r"):
        receipt = fake_credits.consume("A", "b", amount=3)
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {
        "tallybase.agent_type": "A",
        "tallybase.action": "b",
        "tallybase.run_id": "r",
        "tallybase.amount": "3.000000",
        "tallybase.balance": "97.000000",
        "tallybase.replayed": False,
        "tallybase.transaction_id": str(receipt.transaction_id),
    }


def test_a_span_carries_the_refusal(
    fake_credits: FakeCredits, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    with tracer.start_as_current_span("work"), pytest.raises(InsufficientCredits):
        fake_credits.consume("A", "b", amount=300)
    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["tallybase.refusal"] == "insufficient_credits"


def test_without_a_span_nothing_is_recorded(
    fake_credits: FakeCredits, exporter: InMemorySpanExporter
) -> None:
    fake_credits.consume("A", "b")
    assert exporter.get_finished_spans() == ()
