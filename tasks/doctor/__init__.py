"""The doctor's checks of services, as this process reaches them, and of the Prefect server."""
