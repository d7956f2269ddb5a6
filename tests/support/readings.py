"""Gauges as the application's collectors return them."""

from app.observability.collectors import Reading


def values_of(reading: Reading) -> dict[str, float]:
    """Its numbers by the values of its one label; without a label the key is ""."""
    return {next(iter(sample.labels.values()), ""): sample.value for sample in reading.samples}
