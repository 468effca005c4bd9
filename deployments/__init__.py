"""What runs around the flows: local services, the demo, registration of deployments."""
