"""GPU work in pods: what a pod is asked for, how it is followed to a named end, and how nothing is left behind."""
