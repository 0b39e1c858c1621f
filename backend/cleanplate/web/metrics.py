from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cleanplate.web.services import Services

_LATENCY_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 100)
"""Label Studio's own limits are among them: 1 s for health and webhooks, 100 s for a prediction."""


class Metrics:
    """Everything that is counted, in a registry of its own. Labels come from small fixed sets, never from a request."""

    def __init__(self, services: Services) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cleanplate_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "cleanplate_request_seconds",
            "From a request's last byte to its answer.",
            ["route"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.failures = Counter("cleanplate_failures", "Errors answered.", ["reason"], registry=self.registry)
        self.predictions = Counter(
            "cleanplate_predictions",
            "Predict requests: opened (no prompt), batch (many tasks), answered, empty, busy or failed.",
            ["outcome"],
            registry=self.registry,
        )
        self.webhooks = Counter(
            "cleanplate_webhook_events", "Webhooks let in.", ["action", "outcome"], registry=self.registry
        )
        self.registry.register(_ServicesCollector(services))
        ProcessCollector(registry=self.registry)


class _ServicesCollector(Collector):
    """Reads what the services count when somebody asks: the queue's figures are those of all processes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterator[Metric]:
        """The figures without their values: registering must not touch the services."""
        yield self._jobs()
        yield self._oldest()
        yield self._clicks()
        yield self._second_looks()

    def collect(self) -> Iterator[Metric]:
        jobs = self._jobs()
        for state, count in self._services.counts().items():
            jobs.add_metric([state], count)
        yield jobs
        oldest = self._oldest()
        oldest.add_metric([], self._services.oldest_ready_age_s() or 0.0)
        yield oldest
        clicks = self._clicks()
        for event, count in self._services.click_events():
            clicks.add_metric([event], count)
        yield clicks
        looks = self._second_looks()
        looks.add_metric([], self._services.second_look_count())
        yield looks

    @staticmethod
    def _jobs() -> GaugeMetricFamily:
        return GaugeMetricFamily("cleanplate_jobs", "Jobs in the queue.", labels=["state"])

    @staticmethod
    def _oldest() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "cleanplate_oldest_ready_job_seconds", "How long the oldest ready job has been waiting.", labels=[]
        )

    @staticmethod
    def _clicks() -> CounterMetricFamily:
        return CounterMetricFamily("cleanplate_click_events", "What happened to clicks.", labels=["event"])

    @staticmethod
    def _second_looks() -> GaugeMetricFamily:
        return GaugeMetricFamily("cleanplate_second_looks", "Copies that a person should look at.", labels=[])
