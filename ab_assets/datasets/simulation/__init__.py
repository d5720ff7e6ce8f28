"""Demo data whose truth is known: simulated antibodies with a planted rule for binding and one for paratopes."""
