"""Demo data whose truth is known: simulated antibodies with a planted rule for binding and one for paratopes."""

from ab_assets.datasets.simulation.demo import simulate_paratope, simulate_specificity, write_demo

__all__ = ["simulate_paratope", "simulate_specificity", "write_demo"]
